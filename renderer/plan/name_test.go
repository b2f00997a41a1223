package plan

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestUnitName(t *testing.T) {
	form := regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	keys := []string{
		"a", "nextcloud", "next-cloud", "next--cloud", "Nextcloud", "NEXTCLOUD", "next_cloud", "next.cloud", "next cloud",
		"-", "--", "...", "a-", "-a", "a.", "ä", "日本", "a/b", "a//b", "../../etc", "a\x00b", "a\nb", "",
		"00000000-0000-4000-8000-0000000000bb", strings.Repeat("x", 63), strings.Repeat("x", 62) + "y", strings.Repeat("-", 40) + "z",
		"data-ums-keycloak-postgresql-extension-0", "data-ums-keycloak-postgresql-extension-1",
	}
	for n := range 500 {
		keys = append(keys, fmt.Sprintf("a-rather-long-name-of-a-claim-%d", n))
	}
	for _, instance := range []string{"a", "tbcd30494", "sixteen-letters-"[:15] + "x"} {
		seen := map[string]string{}
		for _, short := range []string{"pg", "vol", "ninechars"} {
			for _, key := range keys {
				name := unitName(instance, short, key)
				if len(name) > MaxName || !form.MatchString(name) {
					t.Errorf("%s %s %q: %q is no name for a Schedule", instance, short, key, name)
				}
				if !strings.HasPrefix(name, instance+"-") {
					t.Errorf("%q does not begin with the instance %s", name, instance)
				}
				if other, taken := seen[name]; taken {
					t.Errorf("%q is the name of %s and of %s/%s", name, other, short, key)
				}
				seen[name] = short + "/" + key
				if again := unitName(instance, short, key); again != name {
					t.Errorf("%q, then %q", name, again)
				}
			}
		}
	}
	// Names that fit are readable, and stay as they are for ever: a renamed
	// Schedule starts a new series of snapshots.
	for _, test := range []struct{ instance, short, key, want string }{
		{instance: "tbcd30494", short: "pg", key: "nextcloud", want: "tbcd30494-pg-nextcloud"},
		{instance: "tbcd30494", short: "vol", key: "var-lib-dovecot-dovecot-0", want: "tbcd30494-vol-var-lib-dove-d83671"},
		{instance: "a", short: "pg", key: "A", want: "a-pg-a-"},
		{instance: "a", short: "pg", key: "scripts", want: "a-pg-scripts-"},
	} {
		if got := unitName(test.instance, test.short, test.key); !strings.HasPrefix(got, test.want) {
			t.Errorf("%s %s %s: %q, want %q", test.instance, test.short, test.key, got, test.want)
		}
	}
}

func TestDigestPartsDoNotRunTogether(t *testing.T) {
	if digest("a", "bc") == digest("ab", "c") {
		t.Error("parts run into each other")
	}
}

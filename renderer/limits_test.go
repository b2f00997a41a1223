package renderer_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/plan"
)

// TestReasonsAreLimits: each excuse for what others may read is a line of the
// plan, with its reason, at the units that it is about and at no other.
func TestReasonsAreLimits(t *testing.T) {
	t.Parallel()
	r := built(t)
	in := example(t, "layout-b")
	excuse := func(reason string) map[string]any { return map[string]any{"reason": reason} }
	in.States = []input.Document{rewritten(t, in.States[0], func(root map[string]any) {
		databases := root["databases"].(map[string]any)
		for product, reason := range map[string]string{"postgresql": "reason-pg", "mariadb": "reason-my"} {
			list := databases[product].([]any)
			server := list[len(list)-1].(map[string]any)
			server["plainText"] = excuse(reason)
		}
		ldap := root["ldap"].(map[string]any)
		ldap["method"], ldap["plainText"] = "ldapsearch", excuse("reason-ldap")
		bucket := root["objectStores"].([]any)[0].(map[string]any)
		bucket["endpoint"], bucket["plainHttp"] = "http://minio", excuse("reason-bucket")
		manager := root["secretsManager"].(map[string]any)
		manager["address"], manager["plainHttp"] = "http://vault", excuse("reason-manager")
		for _, entry := range root["volumes"].([]any) {
			if volume := entry.(map[string]any); volume["claim"] == "shared-data-ums-ldap-server-primary-0" {
				volume["liveFiles"] = excuse("reason-live")
			}
		}
	})}
	in.Credentials = []input.Document{rewritten(t, in.Credentials[0], func(root map[string]any) {
		restic, rclone := root["restic"].(map[string]any), root["rclone"].(map[string]any)
		restic["endpoint"], restic["plainHttp"] = "http://restic.example.org", excuse("reason-restic")
		rclone["endpoint"], rclone["plainHttp"] = "http://rclone.example.org", excuse("reason-rclone")
		crypt := rclone["crypt"].(map[string]any)
		crypt["filenameEncryption"], crypt["plainNames"] = "off", excuse("reason-names")
		manager := root["secretsManager"].(map[string]any)
		manager["address"], manager["plainHttp"] = "http://vault", excuse("reason-manager")
	})}
	p := planOf(t, r, in)
	seen := map[string]int{}
	for _, i := range p.Units {
		for _, limit := range i.Limits {
			_, reason, found := strings.Cut(limit, "reason-")
			if !found {
				continue
			}
			seen[reason]++
			engine, kind := i.Engine, i.Kind
			if reason != engine && reason != map[string]string{"postgresql": "pg", "mariadb": "my", "openldap": "ldap", "bucket": "bucket", "secrets-manager": "manager"}[kind] &&
				(reason != "names" || engine != "rclone") && (reason != "live" || i.ID != "volume/shared-data-ums-ldap-server-primary-0") {
				t.Errorf("%s has the limit %q", i.ID, limit)
			}
		}
	}
	for _, reason := range []string{"pg", "my", "ldap", "bucket", "manager", "restic", "rclone", "names", "live"} {
		if seen[reason] == 0 {
			t.Errorf("the reason of %s is no limit: %v", reason, seen)
		}
	}
	if seen["restic"] != p.Totals.Snapshots || seen["rclone"] != p.Totals.Copies || seen["names"] != p.Totals.Copies || seen["bucket"] != 1 {
		t.Errorf("limits: %v of %v", seen, p.Totals)
	}
}

// TestPortOfURL: the port of a source that is reached by URL is the one of its
// scheme, unless the URL says another.
func TestPortOfURL(t *testing.T) {
	t.Parallel()
	r := built(t)
	for _, test := range []struct {
		url, host string
		port      int
	}{
		{url: "http://vault", host: "vault", port: 80},
		{url: "https://vault.example.org", host: "vault.example.org", port: 443},
		{url: "http://vault:8200", host: "vault", port: 8200},
		{url: "https://vault.example.org:8200/v1", host: "vault.example.org", port: 8200},
		{url: "http://[2001:db8::1]", host: "2001:db8::1", port: 80},
		{url: "https://[2001:db8::1]:8443/x", host: "2001:db8::1", port: 8443},
	} {
		in := example(t, "layout-b")
		plain := map[string]any{"reason": "x"}
		in.States = []input.Document{rewritten(t, in.States[0], func(root map[string]any) {
			manager, bucket := root["secretsManager"].(map[string]any), root["objectStores"].([]any)[0].(map[string]any)
			manager["address"], manager["plainHttp"] = test.url, plain
			bucket["endpoint"], bucket["plainHttp"] = test.url, plain
		})}
		in.Credentials = []input.Document{rewritten(t, in.Credentials[0], func(root map[string]any) {
			manager := root["secretsManager"].(map[string]any)
			manager["address"], manager["plainHttp"] = test.url, plain
		})}
		p := planOf(t, r, in)
		for _, kind := range []string{"secrets-manager", "bucket"} {
			at := slices.IndexFunc(p.Units, func(i plan.Item) bool {
				return i.Kind == kind && i.Connects[0].Host == test.host && i.Connects[0].Port == test.port
			})
			if at < 0 {
				t.Errorf("%s: no %s connects to %s, port %d", test.url, kind, test.host, test.port)
			}
		}
	}
}

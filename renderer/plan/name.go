package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// MaxName is the longest Schedule name that works: K8up makes a Job
// "backup-<name>-backup-xxxxx-prebackup" of it, and a label holds 63 bytes. One
// more and the backup hangs for ever without failing.
const MaxName = 33

// prefix is what names of an instance's objects begin with. It is the id, unless names
// could then be another instance's: shop's unit postgresql/pg-wiki and shop-pg's
// postgresql/wiki would both be shop-pg-pg-wiki, and two runs do not see each other. A
// name that is parted at the first short name of a kind is one instance's only.
func prefix(id string, set kind.Set) string {
	padded := id + "-"
	taken := strings.HasPrefix(padded, "restore-") || strings.Contains(id, "--")
	for _, k := range set.Kinds {
		taken = taken || strings.Contains(padded, "-"+k.Short+"-")
	}
	if !taken {
		return id
	}
	word, _, _ := strings.Cut(id, "-")
	return word[:min(len(word), 4)] + "--" + digest(id)[:10]
}

// scripts ends the name of a kind's ConfigMap with its scripts, where a unit has its key.
const scripts = "scripts"

// unitName makes the object name of a unit from its instance, its kind's short
// name and its key. It is readable when it fits; else it is cut and made unique
// by a hash of the whole id. Nobody reads meaning back out of it.
func unitName(instance, short, key string) string {
	safe := dnsLabel(key)
	name := instance + "-" + short + "-" + safe
	if len(name) <= MaxName && safe == key && key != "" && key != scripts {
		return name
	}
	hash := digest(short, key)[:6]
	room := MaxName - len(hash) - 1
	if len(name) > room {
		name = name[:room]
	}
	return strings.TrimRight(name, "-") + "-" + hash
}

// dnsLabel replaces what a Kubernetes name may not hold.
func dnsLabel(s string) string {
	mapped := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		}
		return '-'
	}, s)
	return strings.Trim(mapped, "-")
}

// digest is a hash over parts that cannot run into each other.
func digest(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:])
}

package input

import (
	"encoding/json"
)

// Decoding reads documents that fit their schema, so a failure is a fault
// between a schema and a struct. It is reported like a wrong type, without the
// error's text, which may hold a value.

func decodeState(r *report, d *checked) *State {
	s := &State{
		Tree:        d.Tree,
		InstanceID:  d.id,
		Namespace:   d.text("namespace"),
		Release:     d.text("release"),
		Edition:     d.text("edition"),
		Domain:      d.text("domain"),
		Stage:       d.text("stage"),
		CustomerID:  d.text("customerId"),
		Environment: d.text("environment"),
		GeneratedAt: d.text("generatedAt"),
		Ignored:     d.ignored,
		Coverable:   d.coverable,
	}
	decode(r, d, "namespaces", &s.Namespaces)
	decode(r, d, "cluster", &s.Cluster)
	decode(r, d, "network", &s.Network)
	decode(r, d, "kubernetes", &s.Kubernetes)
	decode(r, d, "backup", &s.Backup)
	decode(r, d, "others", &s.Others)
	decode(r, d, "consistency", &s.Consistency)
	return s
}

func decodeCredentials(r *report, d *checked) *Credentials {
	c := &Credentials{Tree: d.Tree, InstanceID: d.id, CreatedAt: d.text("createdAt"), secrets: d.secrets, outside: d.outside}
	decode(r, d, "rotation", &c.Rotation)
	decode(r, d, "restic", &c.Restic)
	decode(r, d, "rclone", &c.Rclone)
	decode(r, d, "git", &c.Git)
	return c
}

// decodePolicy returns nil if there is no policy, or a wrong one.
func decodePolicy(r *report, d *checked) *Policy {
	if d == nil || d.bad {
		return nil
	}
	p := &Policy{Tree: d.Tree}
	decodeValue(r, d, "", d.Root, &p.Settings)
	decode(r, d, "retired", &p.Retired)
	decode(r, d, "exempt", &p.Exempt)
	decode(r, d, "namespaces", &p.Namespaces)
	decode(r, d, "serviceAccountName", &p.ServiceAccountName)
	decode(r, d, "namespace", &p.Namespace)
	decode(r, d, "imagePrefixes", &p.ImagePrefixes)
	return p
}

// decode fills target from a section of a document, if it is there.
func decode(r *report, d *checked, section string, target any) {
	if value := d.lookup(section); value != nil {
		decodeValue(r, d, "/"+section, value, target)
	}
}

func decodeValue(r *report, d *checked, pointer string, value, target any) {
	data, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(data, target)
	}
	if err != nil {
		r.add(d.problem("HF006", pointer, "the section cannot be decoded", ""), d)
	}
}

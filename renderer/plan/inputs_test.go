package plan

import "testing"

func TestTagVersion(t *testing.T) {
	for image, want := range map[string]string{
		"docker.io/library/postgres:15.14-alpine3.22":      "15.14",
		"registry.example.org:5000/k8up:v2.15.0@sha256:11": "2.15.0",
		"registry.example.org:5000/k8up":                   "",
		"docker.io/library/mariadb:lts":                    "",
		"mariadb@sha256:11":                                "",
	} {
		if got := tagVersion(image); got != want {
			t.Errorf("%s: %q, want %q", image, got, want)
		}
	}
}

func TestOlder(t *testing.T) {
	for _, test := range []struct {
		client, server string
		want           bool
	}{
		{"10.11.14", "10.6", false}, {"10.6.3", "10.11", true}, {"15.2", "15", false}, {"14.19", "15", true}, {"15", "15.13", false},
		{"9.6", "10", true}, {"11", "11.4", false},
	} {
		if got := older(test.client, test.server); got != test.want {
			t.Errorf("%s beside a server of %s: %v", test.client, test.server, got)
		}
	}
}

package input

import "testing"

func TestParseEndpoint(t *testing.T) {
	for text, want := range map[string]EndpointURL{
		"https://s3.example.com":         {"https", "s3.example.com", 443, ""},
		"http://s3.example.com":          {"http", "s3.example.com", 80, ""},
		"http://vault.data.svc:8200/":    {"http", "vault.data.svc", 8200, "/"},
		"https://proxy/v1/a%2Fb":         {"https", "proxy", 443, "/v1/a%2Fb"},
		"https://[2001:db8::1]:8443/a/b": {"https", "2001:db8::1", 8443, "/a/b"},
		"http://192.0.2.7":               {"http", "192.0.2.7", 80, ""},
	} {
		if got, err := ParseEndpoint(text); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"":                         "it does not begin with https:// or http://",
		"s3.example.com":           "it does not begin with https:// or http://",
		"ftp://s3.example.com":     "it does not begin with https:// or http://",
		"https://":                 "it names no host",
		"https://:443":             "it names no host",
		"https://user:pw@host":     "it has more than a host, a port and a path",
		"https://host?a=b":         "it has more than a host, a port and a path",
		"https://host/#a":          "it has more than a host, a port and a path",
		"https://host:0":           "the port is not from 1 to 65535",
		"https://host:65536":       "the port is not from 1 to 65535",
		"https://host:https":       "it is no URL",
		"https://host/%zz":         "it is no URL",
		"https://[192.0.2.7]":      "it is no URL",
		"https://[2001:db8::1::2]": "it is no URL",
	} {
		if got, err := ParseEndpoint(text); err == nil || err.Error() != want {
			t.Errorf("%s: %+v, %v; want %q", text, got, err, want)
		}
	}
}

func TestEndpointKey(t *testing.T) {
	same := []string{"https://S3.example.com", "https://s3.example.com/", "https://s3.example.com:443", "http://s3.example.com:80/", "https://s3.example.com./"}
	for _, text := range same {
		if got := endpointKey(text); got != "s3.example.com/" {
			t.Errorf("%s: %q", text, got)
		}
	}
	for _, other := range []string{"https://s3.example.com:80", "https://s3.example.com/a", "https://s3.example.org"} {
		if endpointKey(other) == "s3.example.com/" {
			t.Errorf("%s passes for another", other)
		}
	}
}

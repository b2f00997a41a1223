package input

import (
	"errors"
	"net/url"
	"strconv"
	"strings"
)

// EndpointURL is the URL of an HTTP service, taken apart.
type EndpointURL struct {
	// Scheme is "http" or "https".
	Scheme string
	// Host is a name or an address, without brackets.
	Host string
	// Port is the scheme's own where the URL has none.
	Port int
	// Path begins with "/"; it is empty where the URL has none.
	Path string
}

// ParseEndpoint reads the URL of a storage, a secrets manager or a proxy. It is the
// only one who does: documents, plan and templates all have what it says. Its errors
// do not repeat the URL, which may stand in the credentials.
func ParseEndpoint(text string) (EndpointURL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return EndpointURL{}, errors.New("it is no URL")
	}
	e := EndpointURL{Scheme: u.Scheme, Host: u.Hostname(), Path: u.EscapedPath()}
	port := u.Port()
	switch {
	case e.Scheme != "http" && e.Scheme != "https":
		return EndpointURL{}, errors.New("it does not begin with https:// or http://")
	case e.Host == "":
		return EndpointURL{}, errors.New("it names no host")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return EndpointURL{}, errors.New("it has more than a host, a port and a path")
	}
	switch {
	case port != "":
		if e.Port, err = strconv.Atoi(port); err != nil || e.Port < 1 || e.Port > 65535 {
			return EndpointURL{}, errors.New("the port is not from 1 to 65535")
		}
	case e.Scheme == "http":
		e.Port = 80
	default:
		e.Port = 443
	}
	return e, nil
}

// endpointKey is the same for all ways to write one endpoint. One that is read without
// TLS is the same as with it.
func endpointKey(text string) string {
	e, err := ParseEndpoint(text)
	if err != nil {
		return strings.ToLower(strings.TrimRight(text, "/"))
	}
	key := strings.TrimSuffix(e.Host, ".")
	if own := map[string]int{"http": 80, "https": 443}[e.Scheme]; e.Port != own {
		key += ":" + strconv.Itoa(e.Port)
	}
	return strings.ToLower(key + "/" + strings.Trim(e.Path, "/"))
}

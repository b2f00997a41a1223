package e2e_test

import (
	"crypto/md5"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// keyed stands before an S3 server and does what S3 does with objects that are
// encrypted with a customer's key (SSE-C): who reads, asks for or writes one must
// bring the algorithm, the key and its sum. The server behind it takes such
// requests and ignores the key, so nothing here is encrypted in the source; what
// is shown is that each request for an object brings the right key.
type keyed struct {
	mutex    sync.Mutex
	key      string
	requests map[string]int
}

func (k *keyed) fault(w http.ResponseWriter, r *http.Request) bool {
	_, object, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !found || object == "" || r.Method == http.MethodDelete {
		return false // a listing or a bucket, which need no key
	}
	const header = "X-Amz-Server-Side-Encryption-Customer-"
	sum := md5.Sum([]byte(k.key))
	refused := ""
	switch {
	case r.Header.Get(header+"Algorithm") != "AES256":
		refused = "The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object."
	case r.Header.Get(header+"Key") != base64.StdEncoding.EncodeToString([]byte(k.key)),
		r.Header.Get(header+"Key-Md5") != base64.StdEncoding.EncodeToString(sum[:]):
		refused = "The provided encryption parameters did not match the ones used originally: " + r.Header.Get(header+"Key")
	}
	k.mutex.Lock()
	defer k.mutex.Unlock()
	if refused == "" {
		k.requests[r.Method]++
		return false
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusBadRequest)
	if r.Method != http.MethodHead {
		_, _ = fmt.Fprintf(w, `<?xml version="1.0"?><Error><Code>InvalidRequest</Code><Message>%s</Message></Error>`, refused)
	}
	_, _ = io.Copy(io.Discard, r.Body)
	return true
}

// A bucket with SSE-C, whose access key is a plain value of the state.
func bucketCustomerKey(t *testing.T) {
	for encoding, key := range map[string]string{"plain": "0123456789 ümläut$(id)'\"\\ 0123", "base64": "\x00\x01\xff\n 56789abcdef0123456789abcdef"} {
		t.Run(encoding, func(t *testing.T) {
			if len(key) != 32 {
				t.Fatalf("the key has %d bytes", len(key))
			}
			encrypted := func(store, _ map[string]any) {
				delete(store, "accessKeyRef")
				store["sse"] = map[string]any{
					"algorithm": "AES256", "keyEncoding": encoding,
					"customerKeyRef": map[string]any{"kind": "Secret", "name": "customer-key", "key": "key"},
				}
			}
			b := newBuckets(t)
			literal := func(store, _ map[string]any) { store["accessKey"] = b.source.AccessKey }
			b.Instance = b.render(t, encrypted, literal)
			text := key
			if encoding == "base64" {
				text = base64.StdEncoding.EncodeToString([]byte(key))
			}
			secrets := func(key string) map[string]map[string]string {
				return map[string]map[string]string{"objectstore": {"secretKey": b.source.SecretKey}, "customer-key": {"key": key}}
			}
			b.options.Secrets = secrets(text)
			server := &keyed{key: key, requests: map[string]int{}}
			front := map[string]string{
				"RCLONE_CONFIG_SRC_ENDPOINT": s3Front(t, b.source, server.fault), "RCLONE_LOW_LEVEL_RETRIES": "1", "RCLONE_RETRIES": "1",
			}
			want := map[string]string{"a": "one", "folder/b": "two two", "large": strings.Repeat("0123456789abcdef", 1<<19)}
			b.put(t, want)

			b.dump(t, front).OK(t)
			sameObjects(t, "the copy", b.decrypted(t, "current"), want)
			if server.requests[http.MethodGet] < len(want) {
				t.Errorf("requests with the key: %v", server.requests)
			}
			before := b.copies(t)
			b.put(t, map[string]string{"later": "came later"})
			want["later"] = "came later"

			// Nothing of what cannot be read may look like a copy.
			wrong := *b
			wrong.options.Secrets = secrets(strings.Repeat("A", len(text)))
			if encoding == "base64" {
				wrong.options.Secrets = secrets(base64.StdEncoding.EncodeToString([]byte(strings.Repeat("A", 32))))
			}
			wrong.dump(t, front).Fails(t, 69, "the copy failed", "StatusCode: 400", "customer key")
			without := *b
			without.Instance = b.render(t, literal, func(store, _ map[string]any) { delete(store, "accessKeyRef") })
			without.dump(t, front).Fails(t, 69, "the copy failed", "StatusCode: 400", "customer key")
			current := maps.Clone(before)
			for name, content := range b.copies(t) {
				if _, old := before[name]; !old {
					current[name] = content // the mark of a run that did not end well
				}
			}
			sameObjects(t, "the copy after runs that failed", b.copies(t), current)

			b.dump(t, front).OK(t)
			sameObjects(t, "the copy", b.decrypted(t, "current"), want)
			b.rcloneOK(t, "", "delete", "src:files")
			server.requests = map[string]int{}
			b.restore(t, front).OK(t)
			sameObjects(t, "restored", b.objects(t), want)
			if server.requests[http.MethodPut] < len(want) {
				t.Errorf("requests with the key: %v", server.requests)
			}
		})
	}
}

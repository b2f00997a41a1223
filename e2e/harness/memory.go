package harness

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

// MemoryS3 is an S3 server in memory that holds every key, also such as no file
// can have. It asks for no signature.
type MemoryS3 struct {
	*S3Server
	backend gofakes3.Backend
}

// slashed lets keys end with "/", which the server's own routing takes off.
type slashed struct{ gofakes3.Backend }

const slashedEnd = "\x01\x02slash"

func slashedKey(key string) string {
	if name, found := strings.CutSuffix(key, slashedEnd); found {
		return name
	}
	return key
}

func (s slashed) HeadObject(ctx context.Context, bucket, key string) (*gofakes3.Object, error) {
	return s.Backend.HeadObject(ctx, bucket, slashedKey(key))
}

func (s slashed) GetObject(ctx context.Context, bucket, key string, r *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	return s.Backend.GetObject(ctx, bucket, slashedKey(key), r)
}

func (s slashed) PutObject(ctx context.Context, bucket, key string, meta map[string]string, in io.Reader, size int64) (gofakes3.PutObjectResult, error) {
	return s.Backend.PutObject(ctx, bucket, slashedKey(key), meta, in, size)
}

func (s slashed) DeleteObject(ctx context.Context, bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	return s.Backend.DeleteObject(ctx, bucket, slashedKey(key))
}

// NewMemoryS3 starts one with these buckets.
func NewMemoryS3(t testing.TB, buckets ...string) *MemoryS3 {
	t.Helper()
	backend := s3mem.New()
	for _, bucket := range buckets {
		if err := backend.CreateBucket(context.Background(), bucket); err != nil {
			t.Fatal(err)
		}
	}
	handler := gofakes3.New(slashed{backend}, gofakes3.WithoutVersioning()).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, key, found := strings.Cut(r.URL.Path[1:], "/"); found && strings.HasSuffix(key, "/") {
			r.URL.Path += slashedEnd
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return &MemoryS3{
		S3Server: &S3Server{Endpoint: server.URL, AccessKey: "e2e-access-key-of-memory", SecretKey: "e2e-secret-key-of-the-s3-server"},
		backend:  backend,
	}
}

// MemoryObject is an object: its content, and its headers as they were stored.
type MemoryObject struct {
	Content string
	Header  map[string]string
}

// PutObject writes an object past S3.
func (m *MemoryS3) PutObject(t testing.TB, bucket, key string, object MemoryObject) {
	t.Helper()
	meta := map[string]string{"Last-Modified": time.Now().UTC().Format(http.TimeFormat)}
	for name, value := range object.Header {
		meta[http.CanonicalHeaderKey(name)] = value
	}
	_, err := m.backend.PutObject(context.Background(), bucket, key, meta, strings.NewReader(object.Content), int64(len(object.Content)))
	if err != nil {
		t.Fatal(err)
	}
}

// Objects are all objects of a bucket by key, read past S3.
func (m *MemoryS3) Objects(t testing.TB, bucket string) map[string]MemoryObject {
	t.Helper()
	list, err := m.backend.ListBucket(context.Background(), bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	objects := map[string]MemoryObject{}
	for _, entry := range list.Contents {
		object, err := m.backend.GetObject(context.Background(), bucket, entry.Key, nil)
		if err != nil {
			t.Fatalf("%q: %v", entry.Key, err)
		}
		var content bytes.Buffer
		if _, err := content.ReadFrom(object.Contents); err != nil {
			t.Fatal(err)
		}
		_ = object.Contents.Close()
		objects[entry.Key] = MemoryObject{Content: content.String(), Header: object.Metadata}
	}
	return objects
}

// Remove deletes an object past S3.
func (m *MemoryS3) Remove(t testing.TB, bucket, key string) {
	t.Helper()
	if _, err := m.backend.DeleteObject(context.Background(), bucket, key); err != nil {
		t.Fatal(err)
	}
}

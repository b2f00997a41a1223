package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// What interrupted runs and failing requests leave behind: each version keeps its own
// content, metadata and losses.
func TestDataBucketVersions(t *testing.T) {
	t.Run("stale", versionsStale)
	t.Run("metadata-of-interrupted", versionsInterrupted)
	t.Run("losses-of-interrupted", versionsLosses)
	t.Run("numbers", versionsNumbers)
	t.Run("unanswered", versionsUnanswered)
}

// onOneServer is a bucket and its copy on the server that tells times exactly.
func onOneServer(t *testing.T) *remembered {
	r := newRemembered(t)
	r.options.Env["RCLONE_CONFIG_BAK_ENDPOINT"] = r.memory.Endpoint
	r.options.Env["RCLONE_LOW_LEVEL_RETRIES"] = "1"
	r.options.Env["MAX_DELETE_PERCENT"] = "100"
	return r
}

func versioned(n int) harness.MemoryObject {
	return harness.MemoryObject{Content: fmt.Sprint("version ", n), Header: map[string]string{"Content-Type": fmt.Sprint("version/", n), "X-Amz-Meta-N": fmt.Sprint(n)}}
}

// endsAt is a run that dies, as one does whose time is over, when it reads an object.
func (r *remembered) endsAt(t *testing.T, key string) {
	t.Helper()
	var killed atomic.Bool
	endpoint := inFront(t, r.memory.Endpoint, func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, "/files/"+key) {
			killed.Store(true)
		}
		return killed.Load() && s3Refused(w)
	})
	r.dump(t, map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": endpoint, "RCLONE_CONFIG_BAK_ENDPOINT": endpoint}).Fails(t, 69)
	if !killed.Load() {
		t.Fatal("the run did not read " + key)
	}
}

func nextSecond() { time.Sleep(1100 * time.Millisecond) }

// Replaced while it was copied by a run that died; the next run dies before it comes
// to that object; the third one must take it up.
func versionsStale(t *testing.T) {
	r := onOneServer(t)
	r.fill(t, pictures("a", "b"))
	r.memory.PutObject(t, "files", "o", versioned(1))
	r.dump(t, nil).OK(t)
	nextSecond()
	r.memory.PutObject(t, "files", "o", versioned(2))
	nextSecond()
	var killed atomic.Bool
	endpoint := inFront(t, r.memory.Endpoint, func(w http.ResponseWriter, req *http.Request) bool {
		if killed.Load() {
			return s3Refused(w)
		}
		if req.Method != http.MethodPut || req.Header.Get("X-Amz-Copy-Source") != "" || !strings.HasPrefix(req.URL.Path, "/copies/") {
			return false
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return false
		}
		req.Body = io.NopCloser(strings.NewReader(string(body)))
		// 9 bytes, encrypted.
		if len(body) == 32+16+9 {
			r.memory.PutObject(t, "files", "o", versioned(3))
			nextSecond()
			killed.Store(true)
		}
		return false
	})
	r.dump(t, map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": endpoint, "RCLONE_CONFIG_BAK_ENDPOINT": endpoint}).Fails(t, 69)
	if !killed.Load() {
		t.Fatal("the first run did not come to the object")
	}
	r.fill(t, pictures("new"))
	nextSecond()
	r.endsAt(t, "new")
	nextSecond()
	r.dump(t, nil).OK(t)
	r.elsewhere(t, nil).OK(t)
	sameMemory(t, "restored", r.memory.Objects(t, "elsewhere"), r.memory.Objects(t, "files"))
}

// A run stores the metadata of a version that it then does not copy. What the next
// run replaces has its own.
func versionsInterrupted(t *testing.T) {
	r := onOneServer(t)
	longer := versioned(2)
	longer.Content += ", a longer one"
	r.fill(t, map[string]harness.MemoryObject{"same": versioned(1), "longer": versioned(1), "inv\xff": versioned(1)})
	r.dump(t, nil).OK(t)
	want := r.memory.Objects(t, "files")
	nextSecond()
	then := time.Now().UTC().Format("20060102T150405Z")
	nextSecond()
	r.fill(t, map[string]harness.MemoryObject{"same": versioned(2), "longer": longer, "inv\xff": versioned(2), "new": versioned(2)})
	r.endsAt(t, "new")
	nextSecond()
	r.dump(t, nil).OK(t)
	want["new"] = versioned(2)
	r.elsewhere(t, map[string]string{"HOLDFAST_AT": then}).OK(t)
	sameMemory(t, "of then", r.memory.Objects(t, "elsewhere"), want)
	r.elsewhere(t, nil).OK(t)
	sameMemory(t, "latest", r.memory.Objects(t, "elsewhere"), r.memory.Objects(t, "files"))
}

// What a run that died found out is still said by the next one, which does not ask again.
func versionsLosses(t *testing.T) {
	r := onOneServer(t)
	r.fill(t, pictures("tagged", "mute", "z"))
	var kill, killed atomic.Bool
	kill.Store(true)
	endpoint := inFront(t, r.memory.Endpoint, func(w http.ResponseWriter, req *http.Request) bool {
		switch {
		case strings.HasSuffix(req.URL.Path, "/files/tagged"):
			w.Header().Set("X-Amz-Tagging-Count", "2")
		case kill.Load() && req.Method == http.MethodHead && strings.HasSuffix(req.URL.Path, "/files/mute"):
			return s3Refused(w)
		case kill.Load() && req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, "/files/z"):
			killed.Store(true)
			return s3Refused(w)
		case killed.Load() && req.URL.Query().Has("max-keys"):
			return s3Refused(w)
		}
		return false
	})
	env := map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": endpoint}
	r.dump(t, env).Fails(t, 69)
	r.elsewhere(t, nil).OK(t)
	copied := r.memory.Objects(t, "elsewhere")
	if copied["tagged"].Content == "" || copied["mute"].Content == "" || copied["z"].Content != "" {
		t.Fatalf("the run copied %v", copied)
	}
	kill.Store(false)
	killed.Store(false)
	// What did not answer is asked again.
	result := r.dump(t, env).Fails(t, 65, "tags: tagged: 2 tags")
	if strings.Contains(result.Stderr, "mute") {
		t.Errorf("what did not answer once is not asked again: %s", result.Stderr)
	}
	r.elsewhere(t, nil).OK(t)
	sameMemory(t, "restored", r.memory.Objects(t, "elsewhere"), r.memory.Objects(t, "files"))
}

// Names that are equal as numbers.
func versionsNumbers(t *testing.T) {
	r := onOneServer(t)
	r.fill(t, pictures("1000", "1e3", "01", "1"))
	endpoint := inFront(t, r.memory.Endpoint, func(w http.ResponseWriter, req *http.Request) bool {
		return req.Method == http.MethodHead && (strings.HasSuffix(req.URL.Path, "/files/1000") || strings.HasSuffix(req.URL.Path, "/files/01")) && s3Refused(w)
	})
	r.dump(t, map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": endpoint}).Fails(t, 65, "metadata: 1000: ", "metadata: 01: ")
}

// A version that came under way, and whose headers could not be read, does not pass
// with those of the version before.
func versionsUnanswered(t *testing.T) {
	r := onOneServer(t)
	r.fill(t, pictures("a", "b"))
	r.dump(t, nil).OK(t)
	nextSecond()
	r.memory.PutObject(t, "files", "o", versioned(1))
	nextSecond()
	var changed, refused atomic.Bool
	endpoint := inFront(t, r.memory.Endpoint, func(w http.ResponseWriter, req *http.Request) bool {
		object := strings.HasSuffix(req.URL.Path, "/files/o")
		if req.Method == http.MethodGet && object && !changed.Swap(true) {
			r.memory.PutObject(t, "files", "o", versioned(2))
			nextSecond()
		}
		return req.Method == http.MethodHead && object && changed.Load() && !refused.Swap(true) && s3Refused(w)
	})
	env := map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": endpoint}
	r.dump(t, env).Fails(t, 65, "metadata: o: its headers could not be read")
	if !refused.Load() {
		t.Fatal("the version of under way was not asked for")
	}
	// The next run asks again.
	r.dump(t, env).OK(t)
	r.elsewhere(t, nil).OK(t)
	sameMemory(t, "restored", r.memory.Objects(t, "elsewhere"), r.memory.Objects(t, "files"))
}

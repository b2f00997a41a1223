package e2e_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
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
	t.Run("first-round", versionsFirstRound)
	t.Run("expired", versionsExpired)
	t.Run("clock-that-goes-back", versionsClock)
	t.Run("of-unknown-size", versionsHot)
	t.Run("never-copied", versionsNeverCopied)
	t.Run("within-a-second", versionsSecond)
}

// onOneServer is a bucket and its copy on the server that tells times exactly.
func onOneServer(t *testing.T) *remembered {
	r := newRemembered(t)
	r.options.Env["RCLONE_CONFIG_BAK_ENDPOINT"] = r.memory.Endpoint
	r.backupEndpoint = r.memory.Endpoint
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
	r.fill(t, pictures("before"))
	r.dump(t, nil).OK(t)
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
	r.fill(t, pictures("1"))
	r.dump(t, nil).OK(t)
	r.fill(t, pictures("1000", "1e3", "01"))
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

// The first round reads headers with the objects: it asks for none twice. If it dies,
// the next one takes up all that may be of another moment.
func versionsFirstRound(t *testing.T) {
	r := onOneServer(t)
	r.memory.PutObject(t, "files", "o", versioned(1))
	r.fill(t, pictures("doc//x", "marker/", "line\nbreak", "é"))
	for i := range 20 {
		r.fill(t, pictures(fmt.Sprint("p", i)))
	}
	var heads, tagged atomic.Int32
	count := func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodHead && strings.Contains(req.URL.Path, "/files/p") {
			heads.Add(1)
		}
		if strings.HasSuffix(req.URL.Path, "/files/p3") {
			w.Header().Set("X-Amz-Missing-Meta", "2")
			tagged.Add(1)
		}
		return false
	}
	// o is replaced between the reading of it and its upload, and the run dies.
	var killed atomic.Bool
	endpoint := inFront(t, r.memory.Endpoint, func(w http.ResponseWriter, req *http.Request) bool {
		if killed.Load() {
			return s3Refused(w)
		}
		if req.Method != http.MethodPut || !strings.HasPrefix(req.URL.Path, "/copies/") {
			return false
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return false
		}
		req.Body = io.NopCloser(strings.NewReader(string(body)))
		if len(body) == 32+16+9 {
			nextSecond()
			r.memory.PutObject(t, "files", "o", versioned(2))
			nextSecond()
			killed.Store(true)
		}
		return false
	})
	r.dump(t, map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": endpoint, "RCLONE_CONFIG_BAK_ENDPOINT": endpoint, "TRANSFERS": "1"}).Fails(t, 69)
	if !killed.Load() {
		t.Fatal("the first run did not come to the object")
	}
	r.dump(t, nil).OK(t)
	r.elsewhere(t, nil).OK(t)
	sameMemory(t, "after a first run that died", r.memory.Objects(t, "elsewhere"), r.memory.Objects(t, "files"))

	// The same into an empty place.
	for key := range r.memory.Objects(t, "copies") {
		r.memory.Remove(t, "copies", key)
	}
	r.dump(t, map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": inFront(t, r.memory.Endpoint, count)}).Fails(t, 65, "metadata: p3: 2 headers that the server does not tell")
	if heads.Load() != 0 || tagged.Load() == 0 {
		t.Errorf("the first round asked %d times for headers", heads.Load())
	}
	r.elsewhere(t, nil).OK(t)
	sameMemory(t, "after the first run", r.memory.Objects(t, "elsewhere"), r.memory.Objects(t, "files"))
	if got := len(r.decrypted(t, "current")); got != 25 {
		t.Errorf("the copy has %d objects", got)
	}
}

// stamps are the names in a folder of the copy, the oldest first.
func (r *remembered) stamps(t *testing.T, folder string) []string {
	t.Helper()
	return strings.Fields(strings.ReplaceAll(r.rcloneOK(t, "", "lsf", "enc:"+folder), "/", ""))
}

// What has expired cannot be put back, and a restore of such a time says so.
func versionsExpired(t *testing.T) {
	r := onOneServer(t)
	r.fill(t, pictures("a", "b"))
	r.dump(t, nil).OK(t)
	nextSecond()
	r.memory.PutObject(t, "files", "a", versioned(2))
	r.dump(t, nil).OK(t)
	stamps := r.stamps(t, "history")
	r.rcloneOK(t, "", "move", "enc:history/"+stamps[0], "enc:history/20200101T000000Z")
	r.elsewhere(t, map[string]string{"HOLDFAST_AT": "20190101T000000Z"}).OK(t)
	if got := r.memory.Objects(t, "elsewhere")["a"].Content; got != picture("a").Content {
		t.Errorf("the object of then is %q", got)
	}
	r.dump(t, nil).OK(t)
	if left := r.stamps(t, "history"); len(left) != 0 {
		t.Fatalf("%v did not expire", left)
	}
	r.elsewhere(t, map[string]string{"HOLDFAST_AT": "20191231T235959Z"}).Fails(t, 65, "the run of 20200101T000000Z", "has expired")
	r.elsewhere(t, map[string]string{"HOLDFAST_AT": "20200101T000000Z"}).OK(t)
	r.elsewhere(t, nil).OK(t)
}

// A run after one of the future is named as if it came after it: the order of names
// is the order of versions.
func versionsClock(t *testing.T) {
	r := onOneServer(t)
	r.memory.PutObject(t, "files", "o", versioned(1))
	r.fill(t, pictures("a", "b"))
	r.dump(t, nil).OK(t)
	first := r.stamps(t, "metadata")
	r.rcloneOK(t, "", "moveto", "enc:metadata/"+first[0], "enc:metadata/20990101T235958Z")
	for n := 2; n <= 4; n++ {
		nextSecond()
		r.memory.PutObject(t, "files", "o", versioned(n))
		r.dump(t, nil).OK(t)
	}
	want := r.memory.Objects(t, "files")
	for n, at := range map[int]string{1: "20990101T235958Z", 2: "20990101T235959Z", 4: "latest"} {
		r.elsewhere(t, map[string]string{"HOLDFAST_AT": at}).OK(t)
		want["o"] = versioned(n)
		sameMemory(t, at, r.memory.Objects(t, "elsewhere"), want)
	}
	if got := r.stamps(t, "history"); fmt.Sprint(got) != "[20990101T235959Z 20990101T235960Z 20990101T235961Z]" {
		t.Errorf("the history is %v", got)
	}
}

// A version that was copied while it changed may have another size than the list
// says: that does not make it one that was cut.
func versionsHot(t *testing.T) {
	r := onOneServer(t)
	r.fill(t, pictures("a", "b"))
	r.dump(t, nil).OK(t)
	nextSecond()
	r.memory.PutObject(t, "files", "o", versioned(2))
	nextSecond()
	longer := versioned(3)
	longer.Content += ", a longer one"
	var asked atomic.Int32
	endpoint := inFront(t, r.memory.Endpoint, func(_ http.ResponseWriter, req *http.Request) bool {
		// Before the second look: the copy's own, after that for the metadata.
		if strings.HasSuffix(req.URL.Path, "/files/o") && asked.Add(1) == 2 {
			r.memory.PutObject(t, "files", "o", longer)
			nextSecond()
		}
		return false
	})
	r.dump(t, map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": endpoint}).OK(t)
	stamps := r.stamps(t, "metadata")
	if len(stamps) != 3 {
		t.Fatalf("the copy has metadata of %v", stamps)
	}
	r.elsewhere(t, map[string]string{"HOLDFAST_AT": stamps[1]}).OK(t)
	if got := r.memory.Objects(t, "elsewhere")["o"].Content; got != longer.Content {
		t.Errorf("the version of under way is %q", got)
	}
}

// Who changes all the time and never arrives is not excused.
func versionsNeverCopied(t *testing.T) {
	r := onOneServer(t)
	r.fill(t, pictures("a", "b"))
	r.dump(t, nil).OK(t)
	r.memory.PutObject(t, "files", "o", versioned(1))
	n := 1
	endpoint := inFront(t, r.memory.Endpoint, func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodGet || !strings.HasSuffix(req.URL.Path, "/files/o") {
			return false
		}
		nextSecond()
		n++
		r.memory.PutObject(t, "files", "o", versioned(n))
		return s3Refused(w)
	})
	r.dump(t, map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": endpoint}).Fails(t, 69, "not as in the source: o")
	r.dump(t, nil).OK(t)
}

// inSeconds is a way to a server whose listings tell whole seconds, as many do; then
// is called with each listing of the files before and after it is answered.
func inSeconds(t *testing.T, endpoint string, then func(before bool)) string {
	t.Helper()
	fraction := regexp.MustCompile(`(<LastModified>[^<.]*)\.\d+Z`)
	return inFront(t, endpoint, func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method != http.MethodGet || strings.TrimSuffix(req.URL.Path, "/") != "/files" {
			return false
		}
		then(true)
		out := req.Clone(req.Context())
		out.RequestURI = ""
		out.URL, _ = url.Parse(endpoint + req.URL.RequestURI())
		answer, err := http.DefaultClient.Do(out)
		if err != nil {
			return s3Refused(w)
		}
		defer answer.Body.Close()
		list, err := io.ReadAll(answer.Body)
		if err != nil {
			return s3Refused(w)
		}
		then(false)
		w.Header().Set("Content-Type", answer.Header.Get("Content-Type"))
		w.WriteHeader(answer.StatusCode)
		_, _ = w.Write(fraction.ReplaceAll(list, []byte("$1.000Z")))
		return true
	})
}

// Replaced after it was listed, within the second that the listing tells: what is
// copied has another size than the listing said, and the same time.
func versionsSecond(t *testing.T) {
	longer := versioned(2)
	longer.Content += ", a longer one"
	for _, round := range []string{"first", "later"} {
		t.Run(round, func(t *testing.T) {
			r := onOneServer(t)
			r.fill(t, pictures("a", "b"))
			if round == "later" {
				r.dump(t, nil).OK(t)
			}
			var listings atomic.Int32
			endpoint := inSeconds(t, r.memory.Endpoint, func(before bool) {
				switch {
				case before && listings.Add(1) == 1:
					time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Second)))
					r.memory.PutObject(t, "files", "o", versioned(1))
				case !before && listings.Load() == 1:
					r.memory.PutObject(t, "files", "o", longer)
					nextSecond()
				}
			})
			r.dump(t, map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": endpoint}).OK(t)
			r.dump(t, map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": endpoint}).OK(t)
			r.elsewhere(t, nil).OK(t)
			sameMemory(t, "restored", r.memory.Objects(t, "elsewhere"), r.memory.Objects(t, "files"))
		})
	}
}

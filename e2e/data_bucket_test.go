package e2e_test

import (
	"crypto/md5"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// remembered is a bucket on a server that holds every key, and its copy on the
// usual one.
type remembered struct {
	*buckets
	memory *harness.MemoryS3
}

func newRemembered(t *testing.T, settings ...bucketSetting) *remembered {
	t.Helper()
	r := &remembered{buckets: newBuckets(t, settings...), memory: harness.NewMemoryS3(t, "files", "elsewhere", "copies")}
	r.options.Env["RCLONE_CONFIG_SRC_ENDPOINT"] = r.memory.Endpoint
	return r
}

func (r *remembered) fill(t *testing.T, objects map[string]harness.MemoryObject) {
	t.Helper()
	for key, object := range objects {
		r.memory.PutObject(t, "files", key, object)
	}
}

// elsewhere restores into another, empty bucket.
func (r *remembered) elsewhere(t *testing.T, env map[string]string) harness.Result {
	t.Helper()
	for key := range r.memory.Objects(t, "elsewhere") {
		r.memory.Remove(t, "elsewhere", key)
	}
	all := map[string]string{"HOLDFAST_SOURCE": "src:elsewhere"}
	maps.Copy(all, env)
	return r.restore(t, all)
}

// told are an object's headers as an application knows them: not those that a server
// or rclone adds.
func told(header map[string]string) map[string]string {
	told := map[string]string{}
	for name, value := range header {
		switch name {
		case "Last-Modified", "Content-Length", "Content-Md5", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Amz-Meta-Mtime", "X-Amz-Acl", "X-Amz-Storage-Class":
		default:
			if !strings.HasPrefix(name, "X-Amz-Checksum") && !strings.HasPrefix(name, "X-Amz-Sdk") && !strings.HasPrefix(name, "X-Amz-Decoded") {
				told[http.CanonicalHeaderKey(name)] = value
			}
		}
	}
	return told
}

// sameMemory compares two buckets by key, content and headers.
func sameMemory(t *testing.T, what string, got, want map[string]harness.MemoryObject) {
	t.Helper()
	wrong := 0
	fail := func(format string, args ...any) {
		if wrong++; wrong <= 20 {
			t.Errorf(what+": "+format, args...)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		object, ok := got[key]
		switch {
		case !ok:
			fail("%q is missing", key)
		case object.Content != want[key].Content:
			fail("%q is %.60q, not %.60q", key, object.Content, want[key].Content)
		case want[key].Header != nil && !maps.Equal(told(object.Header), told(want[key].Header)):
			fail("%q has %q, not %q", key, told(object.Header), told(want[key].Header))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			fail("%q is too much", key)
		}
	}
	if wrong > 20 {
		t.Errorf("%s: and %d more", what, wrong-20)
	}
}

// picture is an object with a header, whose content says its key.
func picture(key string) harness.MemoryObject {
	return harness.MemoryObject{Content: "content of " + key, Header: map[string]string{"Content-Type": "image/png"}}
}

func pictures(keys ...string) map[string]harness.MemoryObject {
	objects := map[string]harness.MemoryObject{}
	for _, key := range keys {
		objects[key] = picture(key)
	}
	return objects
}

// encoderNames are the names that rclone's own encoder is tested with, read from its
// source; every n-th of them.
func encoderNames(t *testing.T, n int) []string {
	t.Helper()
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(cache)), "github.com/rclone/rclone@*/lib/encoder/encoder_cases_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("rclone's source is not in the module cache: run e2e/setup.sh (%v)", err)
	}
	source, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for i, match := range regexp.MustCompile(`(?m)^\s+(?:in|out):\s+("(?:[^"\\]|\\.)*"),$`).FindAllSubmatch(source, -1) {
		name, err := strconv.Unquote(string(match[1]))
		if err != nil {
			t.Fatal(err)
		}
		// No S3 server takes a key with a zero byte, or none at all.
		if i%n == 0 && name != "" && !strings.Contains(name, "\x00") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// hostileKeys are keys that applications really make, and no file system holds.
func hostileKeys() []string {
	return []string{
		"plain", "doc//att0", "doc//", "doc///deep", "/lead", "//lead", "/", "//", "trail/", "trail//", "d1/", "d1/x", "d2/", "x//y//z",
		".", "..", "a/./b", "a/../b", "./c", "../d", "e/.", "e/..", "a", "a/b", "a/b/c",
		"\x01\x02\x1f", "line\nbreak", "cr\rreturn", "tab\ttab", "del\x7f", "crlf\r\n", "\n", "\t",
		"inv\xff\xfe", "\xff", "cut\xe2\x82", "over\xc0\xaf", "sur\xed\xa0\x80", "mixed \xff é/\xfe/",
		"‛", "‛‛", "‛／", "a／b", "／", "．", "．．", "x/．/y", "␀", "␁", "␟␡", "␊", "‛␊", "full．", "�",
		"e\u0301.pdf", "\u00e9.pdf", "n/\u212b", "n/\u00c5", "n/A\u030a", "%2F", "%41", "+", "a+b c", "*?[x]{y}", "#hash?query", `back\slash`, `"quote"`, "-rf",
		"current/x", "history/20200101T000000Z/x", "metadata/x", "losses", "hot", strings.Repeat("n", 140), strings.Repeat("long/", 30) + "end",
	}
}

func TestDataBucket(t *testing.T) {
	t.Run("names", dataBucketNames)
	t.Run("equal-when-normalised", dataBucketNormalised)
	t.Run("metadata", dataBucketMetadata)
	t.Run("metadata-of-then", dataBucketMetadataOfThen)
	t.Run("losses", dataBucketLosses)
	t.Run("by-name", dataBucketByName)
	t.Run("restore", dataBucketRestore)
	t.Run("one-list", dataBucketOneList)
}

// Every key that a server can hold, byte for byte: those that applications make and
// those that rclone tries its encoder with. The server in memory lists no control
// characters from its second page on, so there are no more names at once than a page
// has.
func dataBucketNames(t *testing.T) {
	nth := 40
	if wholeData() {
		nth = 1
	}
	names := encoderNames(t, nth)
	if len(names) < 200 {
		t.Fatalf("only %d names", len(names))
	}
	for _, shell := range []string{"ash", "dash"} {
		t.Run(shell, func(t *testing.T) {
			for page := range slices.Chunk(names, 800) {
				dataBucketPage(t, shell, page)
			}
		})
	}
}

func dataBucketPage(t *testing.T, shell string, names []string) {
	r := newRemembered(t)
	r.options.Image.Shell = shell
	// The usual server keeps objects as files: not "a" beside "a/b".
	r.options.Env["RCLONE_CONFIG_BAK_ENDPOINT"], r.backupEndpoint = r.memory.Endpoint, r.memory.Endpoint
	r.fill(t, pictures(names...))
	r.fill(t, pictures(hostileKeys()...))
	for _, key := range []string{"marker/", "deep/er/marker/"} {
		r.memory.PutObject(t, "files", key, harness.MemoryObject{Header: map[string]string{"Content-Type": "application/x-directory", "X-Amz-Meta-Folder": "yes"}})
	}
	want := r.memory.Objects(t, "files")
	env := map[string]string{}
	if wholeData() {
		// Some are too long for S3 once they are encrypted.
		env["HOLDFAST_LOSSES"] = "name *"
	}
	first := r.dump(t, env).OK(t)
	before := r.memory.Objects(t, "copies")
	second := r.dump(t, env).OK(t)
	r.elsewhere(t, nil).OK(t)
	got := r.memory.Objects(t, "elsewhere")
	lost := 0
	for key := range want {
		if _, found := got[key]; !found && len(key) > 200 {
			delete(want, key)
			lost++
		}
	}
	if lost > 0 {
		if named := strings.Count(r.rcloneOK(t, "", "cat", "enc:losses"), "name\t"); named != lost {
			t.Errorf("%d names are lost, and %d are named", lost, named)
		}
	} else {
		sameMemory(t, "the copy of an unchanged source", r.memory.Objects(t, "copies"), before)
	}
	sameMemory(t, "restored", got, want)
	t.Logf("%d names: %s, unchanged %s", len(want), first.Took, second.Took)
}

// Two names that are equal after normalisation, and a fresh upload that once excused
// what was missing.
func dataBucketNormalised(t *testing.T) {
	r := newRemembered(t)
	for i := range 30 {
		key := fmt.Sprintf("d%d/%d", i%3, i)
		r.memory.PutObject(t, "files", key, picture(key))
	}
	r.fill(t, pictures("e\u0301.pdf", "\u00e9.pdf"))
	r.dump(t, nil).OK(t)
	r.fill(t, pictures("fresh"))
	r.dump(t, nil).OK(t)
	want := r.memory.Objects(t, "files")
	r.elsewhere(t, nil).OK(t)
	sameMemory(t, "restored", r.memory.Objects(t, "elsewhere"), want)
}

func dataBucketMetadata(t *testing.T) {
	r := newRemembered(t)
	want := map[string]harness.MemoryObject{
		"bare": {Content: "bare", Header: map[string]string{}},
		"all": {Content: "all", Header: map[string]string{
			"Content-Type": "application/pdf; x=y", "Content-Disposition": `attachment; filename="Gehälter \"2026\".pdf"`, "Content-Encoding": "gzip",
			"Content-Language": "de, fr", "Cache-Control": "private, max-age=7", "X-Amz-Meta-Owner": "UPPER and lower", "X-Amz-Meta-Uid": "1000",
		}},
		// Names of rclone's own, or of the server's.
		"special": {Content: "special", Header: map[string]string{
			"Content-Type": "text/plain", "X-Amz-Meta-Content-Type": "mine", "X-Amz-Meta-Cache-Control": "mine too", "X-Amz-Meta-Btime": "yesterday",
			"X-Amz-Meta-Tier": "second", "X-Amz-Meta-Log": "2026/11/22 19:07:12 DEBUG : HTTP/1.1 200 OK", "X-Amz-Meta-Md5chksum": "c29tZXRoaW5n", "X-Amz-Meta-Mtime2": `back\slash "quoted"	tab`,
		}},
		"many": {Content: "many", Header: map[string]string{"Content-Type": "a/b"}},
	}
	for i := range 30 {
		want["many"].Header[fmt.Sprintf("X-Amz-Meta-Key-%d", i)] = strings.Repeat("v", i)
	}
	r.fill(t, want)
	// Times as rclone writes them, and as others do.
	times := map[string]string{"rclone": "1700000000.123456789", "short": "1700000000.5", "s3fs": "1700000000", "words": "Tue, 14 Nov 2023"}
	for name, value := range times {
		r.memory.PutObject(t, "files", "time/"+name, harness.MemoryObject{Content: name, Header: map[string]string{"X-Amz-Meta-Mtime": value}})
		want["time/"+name] = harness.MemoryObject{Content: name}
	}
	r.dump(t, nil).OK(t)
	r.elsewhere(t, nil).OK(t)
	got := r.memory.Objects(t, "elsewhere")
	// What has no type gets the one that the server tells, or S3 gives it.
	bare := told(got["bare"].Header)
	if kind := bare["Content-Type"]; kind != "" && kind != "application/octet-stream" && kind != "text/plain; charset=utf-8" || len(bare) > 1 {
		t.Errorf("an object without headers has %q", bare)
	}
	want["bare"] = harness.MemoryObject{Content: "bare"}
	sameMemory(t, "restored", got, want)
	for name, value := range times {
		if mtime := got["time/"+name].Header["X-Amz-Meta-Mtime"]; mtime != value {
			t.Errorf("the time of %s is %q, not %q", name, mtime, value)
		}
	}

	// Nothing of it may be read on the backup's server.
	out := r.rcloneOK(t, "", "lsf", "-R", "--files-only", "--format", "pM", "-M", "bak:copies")
	for _, secret := range []string{"Geh", "pdf", "UPPER", "owner", "image/png", "max-age"} {
		if strings.Contains(out, secret) {
			t.Errorf("the backup's server knows %q", secret)
		}
	}
	for name, content := range folderContent(t, filepath.Join(r.backup.Dir, "copies")) {
		if strings.Contains(content, "Geh") || strings.Contains(content, "max-age") {
			t.Errorf("%s is in the clear", name)
		}
	}
}

// A restore of an earlier time brings that time's metadata, and after a run that was
// interrupted each object has its own.
func dataBucketMetadataOfThen(t *testing.T) {
	r := newRemembered(t)
	version := func(n int) harness.MemoryObject {
		return harness.MemoryObject{Content: fmt.Sprint("version ", n), Header: map[string]string{"Content-Type": fmt.Sprint("version/", n), "X-Amz-Meta-N": fmt.Sprint(n)}}
	}
	for i := range 8 {
		r.memory.PutObject(t, "files", fmt.Sprint("o", i), version(1))
	}
	r.dump(t, nil).OK(t)
	var between [4]string
	for n := 2; n <= 3; n++ {
		time.Sleep(1100 * time.Millisecond)
		between[n] = time.Now().UTC().Format("20060102T150405Z")
		time.Sleep(1100 * time.Millisecond)
		r.memory.PutObject(t, "files", "o0", version(n))
		r.dump(t, nil).OK(t)
	}
	want := r.memory.Objects(t, "files")
	for n := 1; n <= 3; n++ {
		env := map[string]string{}
		if n < 3 {
			env["HOLDFAST_AT"] = between[n+1]
		}
		r.elsewhere(t, env).OK(t)
		want["o0"] = version(n)
		sameMemory(t, fmt.Sprintf("version %d", n), r.memory.Objects(t, "elsewhere"), want)
	}

	// Two objects change; the run copies one of them, and dies.
	time.Sleep(1100 * time.Millisecond)
	for _, key := range []string{"o1", "o2"} {
		r.memory.PutObject(t, "files", key, version(4))
	}
	var killed atomic.Bool
	endpoint := inFront(t, r.memory.Endpoint, func(w http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodGet && strings.HasSuffix(req.URL.Path, "/files/o2") {
			killed.Store(true)
		}
		return killed.Load() && s3Refused(w)
	})
	r.dump(t, map[string]string{
		"RCLONE_CONFIG_SRC_ENDPOINT": endpoint, "RCLONE_LOW_LEVEL_RETRIES": "1", "TRANSFERS": "1", "MAX_DELETE_PERCENT": "100",
	}).Fails(t, 69)
	if !killed.Load() {
		t.Fatal("the run did not come to the second object")
	}
	copied := r.decrypted(t, "current")
	delete(want, "o1")
	delete(want, "o2")
	r.elsewhere(t, nil).OK(t)
	got := r.memory.Objects(t, "elsewhere")
	for _, key := range []string{"o1", "o2"} {
		n := 1
		if copied[key] == "version 4" {
			n = 4
		}
		want[key] = version(n)
	}
	if copied["o2"] == "version 4" {
		t.Error("the second object was copied")
	}
	sameMemory(t, "after an interrupted run", got, want)
	r.dump(t, map[string]string{"MAX_DELETE_PERCENT": "100"}).OK(t)
	r.elsewhere(t, nil).OK(t)
	sameMemory(t, "after the next run", r.memory.Objects(t, "elsewhere"), r.memory.Objects(t, "files"))
}

// inFront stands before any server, as s3Front before the harness's own.
func inFront(t *testing.T, endpoint string, fault func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	f := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !fault(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(func() {
		f.CloseClientConnections()
		f.Close()
	})
	return f.URL
}

// What cannot be carried is named on its night, and then accepted by name; all other
// objects are there either way.
func dataBucketLosses(t *testing.T) {
	r := newRemembered(t)
	long, longer := strings.Repeat("l", 600), "x/"+strings.Repeat("m", 990)
	r.fill(t, pictures("c"))
	r.dump(t, nil).OK(t)
	// The backup's server keeps objects as files.
	r.fill(t, pictures("a", "b", "c/below", long, longer, "expires", "tagged"))
	endpoint := inFront(t, r.memory.Endpoint, func(w http.ResponseWriter, req *http.Request) bool {
		switch {
		case strings.HasSuffix(req.URL.Path, "/expires"):
			w.Header().Set("Expires", "Thu, 01 Dec 2044 16:00:00 GMT")
		case strings.HasSuffix(req.URL.Path, "/tagged"):
			w.Header().Set("X-Amz-Tagging-Count", "2")
		}
		return false
	})
	env := map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": endpoint}
	words := []string{"name: c/below: the backup", "name: " + long[:300], "name: x/mmm", "metadata: expires: expires: Thu", "tags: tagged: 2 tags"}
	// On the second night nothing is asked for again, and still it is known.
	for range 2 {
		r.dump(t, env).Fails(t, 65, words...)
	}
	others := map[string]string{}
	for _, key := range []string{"a", "b", "c", "expires", "tagged"} {
		others[key] = picture(key).Content
	}
	sameObjects(t, "the copy", r.decrypted(t, "current"), others)
	// Part of it accepted is not all of it.
	env["HOLDFAST_LOSSES"] = "name *\ntags other\n"
	result := r.dump(t, env).Fails(t, 65, words[3:]...)
	if strings.Contains(result.Stderr, words[1]) {
		t.Error("an accepted loss was refused")
	}
	env["HOLDFAST_LOSSES"] = "name *\nmetadata expires\ntags *\n"
	r.dump(t, env).OK(t)
	result = r.elsewhere(t, nil).OK(t)
	for _, word := range []string{"the copy lacks", "name\tx/mmm", "metadata\texpires\t", "tags\ttagged\t2 tags"} {
		if !strings.Contains(result.Stderr, word) {
			t.Errorf("the restore does not say %q: %s", word, result.Stderr)
		}
	}
	sameMemory(t, "restored", r.memory.Objects(t, "elsewhere"), pictures("a", "b", "c", "expires", "tagged"))
	// What is no longer so is no longer said.
	r.memory.Remove(t, "files", "c/below")
	r.memory.Remove(t, "files", long)
	r.memory.Remove(t, "files", longer)
	r.memory.Remove(t, "files", "tagged")
	time.Sleep(1100 * time.Millisecond)
	r.memory.PutObject(t, "files", "expires", picture("expires"))
	r.dump(t, map[string]string{"MAX_DELETE_PERCENT": "100"}).OK(t)
}

// Equal counts are no equal names: an object that never arrived is not excused by
// another that is fresh.
func dataBucketByName(t *testing.T) {
	b := newBuckets(t)
	b.put(t, numberedObjects(12, "content"))
	b.dump(t, nil).OK(t)
	b.put(t, map[string]string{"new-a": "a", "new-b": "b"})
	// The backup's server says yes to one object and does not keep it, and another
	// comes under way.
	var mutex sync.Mutex
	swallowed, uploads := "", 0
	endpoint := s3Front(t, b.backup, func(w http.ResponseWriter, r *http.Request) bool {
		mutex.Lock()
		defer mutex.Unlock()
		if r.Method != http.MethodPut || r.Header.Get("X-Amz-Copy-Source") != "" {
			return false
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return false
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		// Both objects have 49 bytes when they are encrypted; marks and lists have more.
		if len(body) != 49 {
			return false
		}
		if uploads++; swallowed == "" {
			swallowed = r.URL.Path
			if err := os.WriteFile(filepath.Join(b.source.Dir, "files", "fresh"), []byte("fresh upload"), 0o644); err != nil {
				t.Error(err)
			}
		}
		if r.URL.Path != swallowed {
			return false
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(body)))
		return true
	})
	result := b.dump(t, map[string]string{"RCLONE_CONFIG_BAK_ENDPOINT": endpoint}).Fails(t, 65, "not as in the source: new-", "the copy is not whole")
	if uploads < 2 {
		t.Fatalf("only %d uploads were seen: %s", uploads, result.Stderr)
	}
	b.dump(t, nil).OK(t)
	sameObjects(t, "the next copy", b.decrypted(t, "current"), b.objects(t))
}

// One object that does not come back stops no other, and is named.
func dataBucketRestore(t *testing.T) {
	r := newRemembered(t)
	var keys []string
	for i := range 300 {
		keys = append(keys, fmt.Sprintf("d%d/object %03d é", i%7, i))
	}
	keys = append(keys, "inv\xff", "doc//x")
	r.fill(t, pictures(keys...))
	r.dump(t, nil).OK(t)
	want := r.memory.Objects(t, "files")
	// Its copy is cut on the server's disk.
	damaged := keys[123]
	path := strings.TrimSpace(r.rcloneOK(t, "", "cryptdecode", "--reverse", "enc:", "current/"+damaged))
	path = path[strings.LastIndex(path, "\t")+1:]
	if err := os.Truncate(filepath.Join(r.backup.Dir, "copies", "deep", "er", "bkt", "files", strings.TrimSpace(path)), 45); err != nil {
		t.Fatal(err)
	}
	// And two are refused by the target.
	refused := func(req *http.Request) bool {
		return req.Method == http.MethodPut && (strings.HasSuffix(req.URL.Path, "object 007 é") || strings.HasSuffix(req.URL.Path, "inv\xff"))
	}
	endpoint := inFront(t, r.memory.Endpoint, func(w http.ResponseWriter, req *http.Request) bool { return refused(req) && s3Refused(w) })
	env := map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": endpoint, "RCLONE_LOW_LEVEL_RETRIES": "1"}
	r.elsewhere(t, env).Fails(t, 65, "3 items of the copy did not come back", damaged+": ", "object 007 é: ", "AccessDenied", "inv")
	for _, key := range []string{damaged, keys[7], "inv\xff"} {
		delete(want, key)
	}
	sameMemory(t, "all others", r.memory.Objects(t, "elsewhere"), want)
	env["HOLDFAST_LEAVE_OUT"] = damaged + "\n*object 007*\ninv*\n"
	result := r.elsewhere(t, env).OK(t)
	if !strings.Contains(result.Stderr, "3 items were left out") {
		t.Errorf("it does not say what was left out: %s", result.Stderr)
	}
	sameMemory(t, "without those that were left out", r.memory.Objects(t, "elsewhere"), want)

	// Somebody else writes into the target meanwhile.
	var once sync.Once
	endpoint = inFront(t, r.memory.Endpoint, func(_ http.ResponseWriter, req *http.Request) bool {
		if req.Method == http.MethodPut {
			once.Do(func() { r.memory.PutObject(t, "elsewhere", "stranger", picture("stranger")) })
		}
		return false
	})
	env["RCLONE_CONFIG_SRC_ENDPOINT"] = endpoint
	r.elsewhere(t, env).Fails(t, 65, "stranger", "not in the copy")
}

// A round without a change walks each side once, however many folders there are.
func dataBucketOneList(t *testing.T) {
	b := newBuckets(t)
	objects := map[string]string{}
	for i := range 200 {
		objects[fmt.Sprintf("d%d/e%d/object", i%20, i)] = "content"
	}
	b.put(t, objects)
	b.dump(t, nil).OK(t)
	count := func(server *harness.S3Server, requests map[string]int) string {
		var mutex sync.Mutex
		return s3Front(t, server, func(_ http.ResponseWriter, r *http.Request) bool {
			mutex.Lock()
			defer mutex.Unlock()
			kind := r.Method
			if r.Method == http.MethodGet && r.URL.Query().Has("max-keys") {
				kind = "list"
			}
			requests[kind]++
			return false
		})
	}
	source, backup := map[string]int{}, map[string]int{}
	b.dump(t, map[string]string{"RCLONE_CONFIG_SRC_ENDPOINT": count(b.source, source), "RCLONE_CONFIG_BAK_ENDPOINT": count(b.backup, backup)}).OK(t)
	t.Logf("source %v, backup %v", source, backup)
	if source["list"] != 1 || source[http.MethodHead] != 0 || source[http.MethodGet] != 0 {
		t.Errorf("requests to the source: %v", source)
	}
	// The copy, what is beside it, the history.
	if backup["list"] > 4 || backup[http.MethodHead] > 4 || backup[http.MethodPut] != 0 {
		t.Errorf("requests to the backup: %v", backup)
	}
}

// BenchmarkDataBucket times a first round and an unchanged one beside a plain rclone
// sync into a crypt remote, as often as -benchtime says, of HOLDFAST_BUCKET_OBJECTS
// objects (4,000). "plain" is rclone as it is; "quick" has the options that spare its
// requests, and loses metadata and times.
func BenchmarkDataBucket(b *testing.B) {
	count := 4000
	if text := os.Getenv("HOLDFAST_BUCKET_OBJECTS"); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	for range b.N {
		s := newBuckets(b)
		for i := range count {
			path := filepath.Join(s.source.Dir, "files", fmt.Sprintf("d%d/object-%06d", i/500, i))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				b.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(fmt.Sprintf("content %d", i)), 0o644); err != nil {
				b.Fatal(err)
			}
		}
		plain := func(target string, options ...string) float64 {
			begin := time.Now()
			s.rcloneOK(b, "", append([]string{"sync", "--transfers=4", "--checkers=8", "src:files", "enc:" + target}, options...)...)
			return time.Since(begin).Seconds()
		}
		quick := []string{"--fast-list", "--update", "--use-server-modtime"}
		for _, round := range []string{"first", "unchanged"} {
			ours := s.dump(b, nil).OK(b).Took.Seconds()
			rclone := plain("plain")
			fast := plain("quick", quick...)
			b.ReportMetric(ours, round+"-s")
			b.ReportMetric(rclone, round+"-plain-s")
			b.ReportMetric(ours/rclone, round+"-ratio")
			b.ReportMetric(ours/fast, round+"-quick-ratio")
		}
	}
	b.ReportMetric(float64(count), "objects")
	b.ReportMetric(0, "ns/op")
}

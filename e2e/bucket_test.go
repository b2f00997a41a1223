package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// buckets is a bucket "files" on one S3 server, and its copy on another.
type buckets struct {
	*harness.Instance
	source, backup *harness.S3Server
	options        harness.Options
	// password and salt are the right ones.
	password, salt string
	// backupEndpoint is the backup's endpoint, if it is another than backup.
	backupEndpoint string
}

// bucketSetting changes what is rendered: the state's store and the credentials.
type bucketSetting func(store, rclone map[string]any)

func newBuckets(t testing.TB, settings ...bucketSetting) *buckets {
	t.Helper()
	b := &buckets{
		source: harness.S3(t, "files", "elsewhere"), backup: harness.S3(t, "copies"),
		// Both are quoted differently by everything that could quote them.
		password: `pass "word" $(id) 'x' %41\`, salt: `--salt=$HOME;* é`,
	}
	b.Instance = b.render(t, settings...)
	b.options = harness.Options{
		Secrets: map[string]map[string]string{"objectstore": {
			"accessKey": b.source.AccessKey, "secretKey": b.source.SecretKey,
		}},
		Env: map[string]string{},
		// The locks have tests of their own.
		FreeLocks: true,
	}
	return b
}

func (b *buckets) render(t testing.TB, settings ...bucketSetting) *harness.Instance {
	t.Helper()
	reference := func(key string) map[string]any {
		return map[string]any{"kind": "Secret", "name": "objectstore", "key": key}
	}
	store := map[string]any{
		"key": "files", "bucket": "files", "endpoint": b.source.Endpoint, "region": "us-east-1", "pathStyle": true,
		"accessKeyRef": reference("accessKey"), "secretKeyRef": reference("secretKey"), "backup": "required",
	}
	rclone := b.backup.Crypt("copies", "deep/er")
	crypt := rclone["crypt"].(map[string]any)
	crypt["password"], crypt["password2"] = b.password, b.salt
	// It holds for both sides.
	rclone["caPem"] = b.source.CAPem + b.backup.CAPem
	for _, setting := range settings {
		setting(store, rclone)
	}
	return harness.Render(t, harness.Inputs{
		State:       map[string]any{"instanceId": "bkt", "objectStores": []any{store}},
		Credentials: map[string]any{"rclone": rclone},
	})
}

func (b *buckets) with(env map[string]string) harness.Options {
	o := b.options
	o.Env = maps.Clone(o.Env)
	maps.Copy(o.Env, env)
	return o
}

func (b *buckets) dump(t testing.TB, env map[string]string) harness.Result {
	t.Helper()
	return b.Dump(t, "bucket/files", b.with(env))
}

func (b *buckets) restore(t testing.TB, env map[string]string) harness.Result {
	t.Helper()
	return b.Restore(t, "bucket/files", b.with(env))
}

// rclone runs it outside, with the remotes src, bak and enc.
func (b *buckets) rclone(t testing.TB, stdin string, args ...string) (string, int) {
	t.Helper()
	program := harness.Program(t, "rclone")
	obscured := func(text string) string {
		command := exec.Command(program, "obscure", "-")
		command.Stdin = strings.NewReader(text + "\n")
		out, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	env := []string{
		"PATH=/usr/bin:/bin", "HOME=/nonexistent", "RCLONE_CONFIG=/dev/null", "RCLONE_NO_CHECK_CERTIFICATE=true",
		"RCLONE_CONFIG_ENC_TYPE=crypt", "RCLONE_CONFIG_ENC_REMOTE=bak:copies/deep/er/bkt/files",
		"RCLONE_CONFIG_ENC_PASSWORD=" + obscured(b.password), "RCLONE_CONFIG_ENC_PASSWORD2=" + obscured(b.salt),
	}
	for remote, server := range map[string]*harness.S3Server{"SRC": b.source, "BAK": b.backup} {
		for key, value := range map[string]string{
			"TYPE": "s3", "PROVIDER": "Other", "ENDPOINT": server.Endpoint, "REGION": "us-east-1", "FORCE_PATH_STYLE": "true",
			"NO_CHECK_BUCKET": "true", "ACCESS_KEY_ID": server.AccessKey, "SECRET_ACCESS_KEY": server.SecretKey,
		} {
			env = append(env, "RCLONE_CONFIG_"+remote+"_"+key+"="+value)
		}
	}
	if b.backupEndpoint != "" {
		env = append(env, "RCLONE_CONFIG_BAK_ENDPOINT="+b.backupEndpoint)
	}
	command := exec.Command(program, args...)
	command.Env, command.Stdin = env, strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil && command.ProcessState == nil {
		t.Fatal(err)
	}
	if code := command.ProcessState.ExitCode(); code != 0 {
		return stderr.String(), code
	}
	return stdout.String(), 0
}

func (b *buckets) rcloneOK(t testing.TB, stdin string, args ...string) string {
	t.Helper()
	out, code := b.rclone(t, stdin, args...)
	if code != 0 {
		t.Fatalf("rclone %q ended with %d: %s", args, code, out)
	}
	return out
}

// put writes objects into the source through S3, under its root or a prefix. It
// first waits for another second: that is how exact S3's times are.
func (b *buckets) put(t *testing.T, objects map[string]string) {
	t.Helper()
	time.Sleep(1100 * time.Millisecond)
	folder := harness.Folder(t, 0)
	for name, content := range objects {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b.rcloneOK(t, "", "copy", "--ignore-times", "--transfers=16", folder, "src:files")
}

func (b *buckets) remove(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		b.rcloneOK(t, "", "deletefile", "src:files/"+name)
	}
}

// objects are those of the source: read from the server's disk, not by rclone.
func (b *buckets) objects(t *testing.T) map[string]string {
	t.Helper()
	return folderContent(t, filepath.Join(b.source.Dir, "files"))
}

// folderContent is each file below a folder, but for the server's own.
func folderContent(t *testing.T, folder string) map[string]string {
	t.Helper()
	content := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && strings.HasPrefix(entry.Name(), ".sgwtmp") {
			return fs.SkipDir
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(folder, path)
		content[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// copies is the backup as it lies on its server, encrypted.
func (b *buckets) copies(t *testing.T) map[string]string {
	t.Helper()
	content := folderContent(t, filepath.Join(b.backup.Dir, "copies"))
	for name, data := range content {
		sum := sha256.Sum256([]byte(data))
		content[name] = hex.EncodeToString(sum[:])
	}
	return content
}

// decrypted is a folder of the backup, in the clear.
func (b *buckets) decrypted(t *testing.T, folder string) map[string]string {
	t.Helper()
	target := harness.Folder(t, 0)
	if out, code := b.rclone(t, "", "copy", "--crypt-strict-names", "--transfers=16", "enc:"+folder, target); code != 0 && code != 3 {
		t.Fatalf("reading %s: %d: %s", folder, code, out)
	}
	return folderContent(t, target)
}

// history are the history folders, oldest first.
func (b *buckets) history(t *testing.T) []string {
	t.Helper()
	out, code := b.rclone(t, "", "lsf", "--dirs-only", "enc:history")
	if code == 3 {
		return nil
	}
	names := strings.Fields(strings.ReplaceAll(out, "/", ""))
	slices.Sort(names)
	return names
}

func sameObjects(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if content, ok := got[name]; !ok {
			t.Errorf("%s: %q is missing", what, name)
		} else if content != want[name] {
			t.Errorf("%s: %q is %.60q, not %.60q", what, name, content, want[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %q is too much: %.60q", what, name, got[name])
		}
	}
}

func numberedObjects(n int, content string) map[string]string {
	objects := map[string]string{}
	for i := range n {
		objects[fmt.Sprintf("d%d/object-%05d", i%7, i)] = fmt.Sprintf("%s %05d", content, i)
	}
	return objects
}

// oddObjects are keys that break what quotes, splits, decodes or escapes wrongly.
func oddObjects() map[string]string {
	objects := map[string]string{}
	for _, name := range []string{
		"plain", "with blanks  two", " leading blank", "trailing blank ", "ümläut/日本語/🙂.txt", "e\u0301 decomposed",
		"%41%2F%00", "100%", `quote"double`, "quote'single", "`back`", `back\slash`, "-rf", "--flag=1", "-/-", "$HOME", "$(touch x)", "a;b|c&d",
		"*?[x]{y}", "#hash", "a=b&c=d+e", "~tilde", "name:with:colons", "line\nbreak", "tab\tbed", ".hidden", "...", "<xml>&amp;", "UPPER", "upper",
		"current/x", "history/20200101T000000Z/x", strings.Repeat("l", 140), strings.Repeat("long/", 60) + "end",
	} {
		objects[name] = "content of " + name
	}
	objects["empty"] = ""
	objects["large"] = strings.Repeat("0123456789abcdef", 1<<19) // 8 MiB: several parts
	return objects
}

func TestBucket(t *testing.T) {
	t.Run("dump", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			t.Run(shell, func(t *testing.T) { bucketDump(t, shell) })
		}
		t.Run("odd-names", bucketOddNames)
		t.Run("10000-objects", bucketMany)
		t.Run("changed-under-way", bucketChangedUnderWay)
		t.Run("expiry", bucketExpiry)
		t.Run("allowed-empty", bucketAllowedEmpty)
	})
	t.Run("customer-key", bucketCustomerKey)
	t.Run("restore", bucketRestore)
	t.Run("failure", bucketFailures)
	t.Run("locked", bucketLocked)
}

func bucketDump(t *testing.T, shell string) {
	b := newBuckets(t)
	b.options.Image.Shell = shell
	first := map[string]string{"a": "one", "folder/b": "two two", "folder/c": "three", "d": "four", "e": "five", "f": "six", "g": "seven", "h": "eight"}
	b.put(t, first)
	b.dump(t, nil).OK(t)
	sameObjects(t, "the first copy", b.decrypted(t, "current"), first)
	if canary := b.rcloneOK(t, "", "cat", "enc:.canary/bkt"); canary != "holdfast canary of bkt\n" {
		t.Errorf("the canary is %q", canary)
	}
	for name, content := range folderContent(t, filepath.Join(b.backup.Dir, "copies")) {
		if strings.Contains(name, "folder") || strings.Contains(content, "two two") {
			t.Errorf("%q is in the clear", name)
		}
	}

	before := b.copies(t)
	b.dump(t, nil).OK(t)
	sameObjects(t, "the copy of an unchanged source", b.copies(t), before)

	b.put(t, map[string]string{"folder/b": "TWO TWO"})
	b.dump(t, nil).OK(t)
	want := maps.Clone(first)
	want["folder/b"] = "TWO TWO"
	sameObjects(t, "after a change of the same size", b.decrypted(t, "current"), want)
	if folders := b.history(t); len(folders) != 1 {
		t.Errorf("the history has %q", folders)
	} else {
		sameObjects(t, "its history", b.decrypted(t, "history/"+folders[0]), map[string]string{"folder/b": "two two"})
	}

	b.put(t, map[string]string{"a": "one and more", "new": "new"})
	b.remove(t, "d")
	b.dump(t, nil).OK(t)
	want["a"], want["new"] = "one and more", "new"
	delete(want, "d")
	sameObjects(t, "after one removed, one replaced and one new", b.decrypted(t, "current"), want)
	if folders := b.history(t); len(folders) != 2 {
		t.Errorf("the history has %q", folders)
	} else {
		sameObjects(t, "the second history", b.decrypted(t, "history/"+folders[1]), map[string]string{"a": "one", "d": "four"})
	}
	if out, _ := b.rclone(t, "", "lsf", "enc:unfinished"); strings.HasPrefix(out, "2") {
		t.Errorf("a mark is left: %q", out)
	}
}

func bucketOddNames(t *testing.T) {
	b := newBuckets(t)
	objects := oddObjects()
	b.put(t, objects)
	sameObjects(t, "the source itself", b.objects(t), objects)
	b.dump(t, nil).OK(t)
	before := b.copies(t)
	b.dump(t, nil).OK(t)
	sameObjects(t, "the copy of an unchanged source", b.copies(t), before)
	b.rcloneOK(t, "", "delete", "src:files")
	b.restore(t, nil).OK(t)
	sameObjects(t, "restored", b.objects(t), objects)
}

func bucketMany(t *testing.T) {
	b := newBuckets(t)
	objects := numberedObjects(10000, "content")
	for name, content := range objects {
		path := filepath.Join(b.source.Dir, "files", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{"TRANSFERS": "16"}
	first := b.dump(t, env).OK(t)
	second := b.dump(t, env).OK(t)
	t.Logf("10,000 objects: %s, unchanged %s", first.Took, second.Took)
	copied := strings.Split(strings.TrimSpace(b.rcloneOK(t, "", "lsf", "-R", "--files-only", "--format=ps", "enc:current")), "\n")
	var want []string
	for name, content := range objects {
		want = append(want, fmt.Sprintf("%s;%d", name, len(content)))
	}
	slices.Sort(copied)
	slices.Sort(want)
	if !slices.Equal(copied, want) {
		t.Errorf("the copy lists %d objects, not the %d of the source", len(copied), len(want))
	}
}

// An object that is replaced while it is being copied: its old content gets a
// later time in the copy than the new one has in the source.
func bucketChangedUnderWay(t *testing.T) {
	b := newBuckets(t)
	old, changed := strings.Repeat("A", 4<<20), strings.Repeat("B", 4<<20)
	b.put(t, map[string]string{"big": old, "small": "small"})
	process := b.Start(t, "bucket/files", "dump", b.with(map[string]string{"BANDWIDTH": "400k"}))
	harness.WaitFor(t, "the copy has begun", 20*time.Second, func() error {
		if out, _ := b.rclone(t, "", "lsf", "enc:unfinished"); !strings.HasPrefix(out, "2") {
			return fmt.Errorf("no mark: %s", out)
		}
		return nil
	})
	b.put(t, map[string]string{"big": changed})
	process.Wait().OK(t)
	b.dump(t, nil).OK(t)
	sameObjects(t, "the copy", b.decrypted(t, "current"), b.objects(t))
	if b.objects(t)["big"] != changed {
		t.Error("the source was not changed")
	}
}

func bucketExpiry(t *testing.T) {
	b := newBuckets(t)
	b.put(t, numberedObjects(4, "content"))
	stamp := func(days int) string { return time.Now().UTC().AddDate(0, 0, -days).Format("20060102T150405Z") }
	old, young := stamp(31), stamp(30)
	b.dump(t, nil).OK(t)
	for _, folder := range []string{old, young, stamp(4000), "20240229T000000Z", "keep-20200101T000000Z", "20200101"} {
		b.rcloneOK(t, "x", "rcat", "enc:history/"+folder+"/deep/x")
	}
	all := b.history(t)
	// Not after a failure.
	b.dump(t, map[string]string{"HOLDFAST_SOURCE": "src:files/mistyped"}).Fails(t, 65, "is empty")
	if now := b.history(t); !slices.Equal(now, all) {
		t.Errorf("a failed run left %q of %q", now, all)
	}
	b.dump(t, nil).OK(t)
	want := []string{"20200101", young, "keep-20200101T000000Z"}
	if now := b.history(t); !slices.Equal(now, want) {
		t.Errorf("the history is %q, not %q", now, want)
	}
}

func bucketAllowedEmpty(t *testing.T) {
	b := newBuckets(t, func(store, _ map[string]any) { store["backup"] = "optional" })
	b.dump(t, nil).OK(t)
	b.dump(t, nil).OK(t)
	objects := numberedObjects(10, "content")
	b.put(t, objects)
	b.dump(t, nil).OK(t)
	// One that was not empty is not emptied without a word: a mistyped prefix
	// looks the same.
	before := b.copies(t)
	b.dump(t, map[string]string{"HOLDFAST_SOURCE": "src:files/mistyped"}).Fails(t, 65, "10 removed")
	sameObjects(t, "the copy", b.copies(t), before)
	b.rcloneOK(t, "", "delete", "src:files")
	b.dump(t, map[string]string{"MAX_DELETE_PERCENT": "100"}).OK(t)
	sameObjects(t, "the copy of nothing", b.decrypted(t, "current"), map[string]string{})
}

func bucketRestore(t *testing.T) {
	b := newBuckets(t)
	first := numberedObjects(8, "first")
	b.put(t, first)
	b.dump(t, nil).OK(t)
	time.Sleep(1100 * time.Millisecond)
	between := time.Now().UTC().Format("20060102T150405Z")
	b.put(t, map[string]string{"d0/object-00000": "second 00000", "new": "came later"})
	b.remove(t, "d1/object-00001")
	b.dump(t, nil).OK(t)
	b.put(t, map[string]string{"d0/object-00000": "third"})
	b.dump(t, nil).OK(t)
	last := b.objects(t)

	for _, shell := range []string{"ash", "dash"} {
		t.Run("current-"+shell, func(t *testing.T) {
			b.options.Image.Shell = shell
			b.rcloneOK(t, "", "delete", "src:files")
			b.restore(t, nil).OK(t)
			sameObjects(t, "restored", b.objects(t), last)
		})
	}
	t.Run("not-empty", func(t *testing.T) {
		b.put(t, map[string]string{"d0/object-00000": "damaged", "other": "stays"})
		damaged := b.objects(t)
		b.restore(t, nil).Fails(t, 65, "HOLDFAST_OVERWRITE=yes", "9 objects")
		sameObjects(t, "a refused target", b.objects(t), damaged)
		b.restore(t, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).OK(t)
		want := maps.Clone(last)
		want["other"] = "stays"
		sameObjects(t, "overwritten", b.objects(t), want)
	})
	t.Run("dated", func(t *testing.T) {
		b.rcloneOK(t, "", "delete", "src:files")
		b.restore(t, map[string]string{"HOLDFAST_AT": between}).OK(t)
		want := maps.Clone(first)
		want["new"] = "came later"
		sameObjects(t, "restored", b.objects(t), want)
		b.restore(t, map[string]string{"HOLDFAST_AT": "yesterday"}).Fails(t, 64, "HOLDFAST_AT")
	})
	t.Run("elsewhere", func(t *testing.T) {
		b.restore(t, map[string]string{"HOLDFAST_SOURCE": "src:elsewhere/a b"}).OK(t)
		sameObjects(t, "restored", folderContent(t, filepath.Join(b.source.Dir, "elsewhere", "a b")), last)
	})
	t.Run("after-an-interrupted-run", func(t *testing.T) {
		// What a run leaves that died between moving an object and writing it again.
		b.rcloneOK(t, "x", "rcat", "enc:unfinished/20991231T000000Z")
		b.rcloneOK(t, "", "moveto", "enc:current/new", "enc:history/20991231T000000Z/new")
		b.rcloneOK(t, "", "delete", "src:files")
		b.restore(t, nil).OK(t)
		sameObjects(t, "restored", b.objects(t), last)
		// To the next run, all that was restored is new.
		b.dump(t, nil).Fails(t, 65, "stopped before anything was changed")
		b.dump(t, map[string]string{"MAX_DELETE_PERCENT": "100"}).OK(t)
		sameObjects(t, "the next copy", b.decrypted(t, "current"), last)
		if out, _ := b.rclone(t, "", "lsf", "enc:unfinished"); strings.HasPrefix(out, "2") {
			t.Errorf("a mark is left: %q", out)
		}
	})
	t.Run("failure/wrong-password", func(t *testing.T) {
		wrong := *b
		wrong.Instance = b.render(t, func(_, rclone map[string]any) { rclone["crypt"].(map[string]any)["password"] = "another password" })
		wrong.restore(t, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).Fails(t, 65, "wrong crypt password or salt")
	})
	t.Run("failure/damaged-copy", func(t *testing.T) {
		// The largest file of the backup, one byte changed in its server's folder.
		folder := filepath.Join(b.backup.Dir, "copies")
		largest := ""
		for name, content := range folderContent(t, folder) {
			if largest == "" || len(content) > len(folderContent(t, folder)[largest]) {
				largest = name
			}
		}
		file, err := os.OpenFile(filepath.Join(folder, largest), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := file.WriteAt([]byte{0xff, 0x00}, 50); err != nil {
			t.Fatal(err)
		}
		result := b.restore(t, map[string]string{"HOLDFAST_OVERWRITE": "yes", "HOLDFAST_SOURCE": "src:elsewhere/damaged"})
		if result.Code == 0 {
			t.Error("a damaged copy was restored")
		}
	})
}

// s3Front stands before an S3 server. fault sees each request first, and says
// whether it has answered.
func s3Front(t *testing.T, server *harness.S3Server, fault func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	target, err := url.Parse(server.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		// Signatures are made for the host that the client knows.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
		},
		// A connection that the server closes while it is idle would be one more fault.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true},
	}
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

// s3Refused answers as S3 does when the key has no right.
func s3Refused(w http.ResponseWriter) bool {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(http.StatusForbidden)
	_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
	return true
}

func bucketFailures(t *testing.T) {
	// The tests share a copy of forty objects; each must leave it as it was.
	b := newBuckets(t)
	objects := numberedObjects(40, "content")
	b.put(t, objects)
	b.dump(t, nil).OK(t)
	before := b.copies(t)
	untouched := func(t *testing.T) {
		t.Helper()
		sameObjects(t, "the copy after a refused run", b.copies(t), before)
	}
	// again is a run that finds all well, whatever came before it.
	again := func(t *testing.T) {
		t.Helper()
		b.rcloneOK(t, "", "delete", "src:files")
		b.put(t, objects)
		b.dump(t, map[string]string{"MAX_DELETE_PERCENT": "100"}).OK(t)
		sameObjects(t, "the copy", b.decrypted(t, "current"), objects)
		before = b.copies(t)
	}

	// at sets another endpoint. rclone is not as patient there as it is by itself:
	// it would try for minutes.
	at := func(variable, endpoint string) map[string]string {
		return map[string]string{variable: endpoint, "RCLONE_LOW_LEVEL_RETRIES": "1", "RCLONE_RETRIES": "1"}
	}

	t.Run("wrong-crypt-password", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			wrong := *b
			wrong.options.Image.Shell = shell
			wrong.Instance = b.render(t, func(_, rclone map[string]any) { rclone["crypt"].(map[string]any)["password"] = "another password" })
			wrong.dump(t, nil).Fails(t, 65, "wrong crypt password or salt")
			untouched(t)
		}
	})
	t.Run("wrong-salt", func(t *testing.T) {
		wrong := *b
		wrong.Instance = b.render(t, func(_, rclone map[string]any) { rclone["crypt"].(map[string]any)["password2"] = "another salt" })
		wrong.dump(t, nil).Fails(t, 65, "wrong crypt password or salt")
		untouched(t)
	})
	t.Run("wrong-password", func(t *testing.T) {
		wrong := *b
		wrong.options.Secrets = map[string]map[string]string{"objectstore": {"accessKey": b.source.AccessKey, "secretKey": "not the secret key"}}
		wrong.dump(t, nil).Fails(t, 69, "measuring the source", "SignatureDoesNotMatch")
		untouched(t)
	})
	t.Run("wrong-backup-key", func(t *testing.T) {
		wrong := *b
		wrong.Instance = b.render(t, func(_, rclone map[string]any) { rclone["secretAccessKey"] = "not the secret key" })
		wrong.dump(t, nil).Fails(t, 69, "listing the backup", "SignatureDoesNotMatch")
		untouched(t)
	})
	t.Run("mistyped-prefix", func(t *testing.T) {
		b.dump(t, map[string]string{"HOLDFAST_SOURCE": "src:files/d00"}).Fails(t, 65, "the source is empty")
		untouched(t)
	})
	t.Run("mistyped-bucket", func(t *testing.T) {
		b.dump(t, map[string]string{"HOLDFAST_SOURCE": "src:no-such-bucket"}).Fails(t, 69, "does not exist")
		untouched(t)
	})
	t.Run("empty", func(t *testing.T) {
		b.rcloneOK(t, "", "delete", "src:files")
		b.dump(t, nil).Fails(t, 65, "the source is empty")
		untouched(t)
		b.put(t, map[string]string{"d0/object-00000": objects["d0/object-00000"]})
		b.dump(t, nil).Fails(t, 65, "more than half is gone")
		untouched(t)
		again(t)
	})
	t.Run("mass-overwrite", func(t *testing.T) {
		b.put(t, numberedObjects(40, "ENCRYPT"))
		// Three times, as the Job does.
		for range 3 {
			b.dump(t, nil).Fails(t, 65, "stopped before anything was changed", "40 of 40 objects would be replaced")
			untouched(t)
		}
		// rclone's own limit, the second line, knows of replaced objects as well.
		out, code := b.rclone(t, "", "sync", "--backup-dir=enc:history/limit", "--max-delete=4", "--crypt-strict-names", "--update",
			"--use-server-modtime", "src:files", "enc:current")
		if code != 7 || !strings.Contains(out, "--max-delete threshold reached") {
			t.Errorf("rclone's own limit: exit code %d: %s", code, out)
		}
		if moved := len(b.decrypted(t, "history/limit")); moved > 12 {
			t.Errorf("rclone's own limit of 4 let %d go", moved)
		}
		b.rcloneOK(t, "", "purge", "enc:history/limit")
		again(t)
	})
	t.Run("mass-rename", func(t *testing.T) {
		locked := map[string]string{}
		for name := range objects {
			locked[name+".locked"] = "ransom"
		}
		b.rcloneOK(t, "", "delete", "src:files")
		b.put(t, locked)
		b.dump(t, nil).Fails(t, 65, "stopped before anything was changed", "40 removed")
		untouched(t)
		again(t)
	})
	t.Run("up-to-the-limit", func(t *testing.T) {
		// A quarter is allowed; rclone counts each removed one twice.
		names := slices.Sorted(maps.Keys(objects))
		b.remove(t, names[:10]...)
		b.dump(t, nil).OK(t)
		sameObjects(t, "the copy", b.decrypted(t, "current"), b.objects(t))
		b.remove(t, names[10:19]...)
		b.dump(t, nil).Fails(t, 65, "9 removed")
		again(t)
	})
	t.Run("permission-denied", func(t *testing.T) {
		denied := "d3/object-00003"
		b.put(t, map[string]string{denied: "CONTENT 00003", "d4/object-00004": "CONTENT 00004"})
		endpoint := s3Front(t, b.source, func(w http.ResponseWriter, r *http.Request) bool {
			return r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, denied) && s3Refused(w)
		})
		b.dump(t, at("RCLONE_CONFIG_SRC_ENDPOINT", endpoint)).Fails(t, 69, "the copy failed", denied, "AccessDenied")
		if got := b.decrypted(t, "current")["d4/object-00004"]; got != "CONTENT 00004" {
			t.Errorf("the others were not copied: %q", got)
		}
		// A restore meanwhile finds the old one.
		b.restore(t, map[string]string{"HOLDFAST_SOURCE": "src:elsewhere/denied"}).OK(t)
		if got := folderContent(t, filepath.Join(b.source.Dir, "elsewhere", "denied"))[denied]; got != objects[denied] {
			t.Errorf("a restore after the failed run finds %q", got)
		}
		again(t)
	})
	t.Run("truncated", func(t *testing.T) {
		b.put(t, map[string]string{"d3/object-00003": "CONTENT 00003"})
		endpoint := s3Front(t, b.source, func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodGet || !strings.HasSuffix(r.URL.Path, "d3/object-00003") {
				return false
			}
			w.Header().Set("Content-Length", "13")
			w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
			_, _ = io.WriteString(w, "CONT")
			panic(http.ErrAbortHandler)
		})
		b.dump(t, at("RCLONE_CONFIG_SRC_ENDPOINT", endpoint)).Fails(t, 69, "the copy failed", "d3/object-00003")
		if got, ok := b.decrypted(t, "current")["d3/object-00003"]; ok && got != objects["d3/object-00003"] {
			t.Errorf("a cut object was stored: %q", got)
		}
		again(t)
	})
	t.Run("listing-cut", func(t *testing.T) {
		// Part of the source does not list, before the copy and after it: nothing may
		// be removed.
		changed := maps.Clone(objects)
		for _, page := range []int32{3, 7} {
			if page == 7 {
				changed["d0/object-00000"] = "CONTENT 00000"
				b.put(t, map[string]string{"d0/object-00000": changed["d0/object-00000"]})
			}
			var pages atomic.Int32
			endpoint := s3Front(t, b.source, func(w http.ResponseWriter, r *http.Request) bool {
				return r.Method == http.MethodGet && r.URL.Query().Has("max-keys") && pages.Add(1) >= page && s3Refused(w)
			})
			env := at("RCLONE_CONFIG_SRC_ENDPOINT", endpoint)
			env["RCLONE_CONFIG_SRC_LIST_CHUNK"] = "10"
			b.dump(t, env).Fails(t, 69, "measuring the source", "AccessDenied")
			if pages.Load() < page {
				t.Errorf("there were only %d pages", pages.Load())
			}
			sameObjects(t, "the copy", b.decrypted(t, "current"), changed)
		}
		again(t)
	})
	t.Run("server-gone-before", func(t *testing.T) {
		gone := fmt.Sprintf("http://127.0.0.1:%d", harness.ClosedPort(t))
		source, backup := at("RCLONE_CONFIG_SRC_ENDPOINT", gone), at("RCLONE_CONFIG_BAK_ENDPOINT", gone)
		b.dump(t, source).Fails(t, 69, "measuring the source", "connection refused")
		untouched(t)
		b.dump(t, backup).Fails(t, 69, "listing the backup", "connection refused")
		untouched(t)
		source["HOLDFAST_OVERWRITE"], backup["HOLDFAST_OVERWRITE"] = "yes", "yes"
		b.restore(t, source).Fails(t, 69, "measuring the target", "connection refused")
		b.restore(t, backup).Fails(t, 69, "listing the backup", "connection refused")
		sameObjects(t, "the source after refused restores", b.objects(t), objects)
	})
	t.Run("server-gone-in-the-middle", func(t *testing.T) {
		b.put(t, map[string]string{"big": strings.Repeat("x", 1<<20)})
		var dead atomic.Bool
		endpoint := s3Front(t, b.source, func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/big") {
				dead.Store(true)
			}
			if dead.Load() {
				panic(http.ErrAbortHandler)
			}
			return false
		})
		b.dump(t, at("RCLONE_CONFIG_SRC_ENDPOINT", endpoint)).Fails(t, 69, "the copy failed")
		if _, ok := b.decrypted(t, "current")["big"]; ok {
			t.Error("an object that was never read is in the copy")
		}
		again(t)
	})
	t.Run("deadline", func(t *testing.T) {
		b.put(t, map[string]string{"big": strings.Repeat("x", 4<<20)})
		result := b.dump(t, map[string]string{"BANDWIDTH": "100k", "HOLDFAST_DEADLINE": "20"}).Fails(t, 69, "no time left")
		if result.Took > harness.Patience {
			t.Errorf("it took %s", result.Took)
		}
		again(t)
	})
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(map[syscall.Signal]string{syscall.SIGTERM: "term", syscall.SIGKILL: "kill-9"}[signal], func(t *testing.T) {
			changed := numberedObjects(8, "CONTENT")
			changed["big"] = strings.Repeat("x", 4<<20)
			b.put(t, changed)
			process := b.Start(t, "bucket/files", "dump", b.with(map[string]string{"BANDWIDTH": "20k"}))
			harness.WaitFor(t, "the copy has begun", 20*time.Second, func() error {
				if len(b.decrypted(t, "current")) == 0 || len(b.history(t)) == 0 {
					return fmt.Errorf("nothing was moved yet")
				}
				return nil
			})
			if signal == syscall.SIGKILL {
				process.Kill()
			} else {
				process.Signal(signal)
			}
			result := process.Wait()
			if signal == syscall.SIGTERM && result.Code != 143 {
				t.Errorf("it ended with %d: %s", result.Code, result.Stderr)
			}
			if signal == syscall.SIGTERM && result.Took > harness.Patience {
				t.Errorf("it took %s", result.Took)
			}
			b.dump(t, nil).OK(t)
			sameObjects(t, "the copy", b.decrypted(t, "current"), b.objects(t))
			again(t)
		})
	}
	t.Run("disk-full", func(t *testing.T) {
		full := b.options
		for _, size := range []string{"4Ki", "16Ki", "64Ki"} {
			full.Scratch = size
			b.put(t, numberedObjects(40, "ENCRYPT"))
			result := b.Dump(t, "bucket/files", full)
			if result.Code == 0 {
				t.Errorf("scratch of %s: ended well", size)
			}
			untouched(t)
		}
		again(t)
	})
	t.Run("hostile-names", func(t *testing.T) {
		prefix := `-x "q" 'q' $(id) ` + "`id`" + ` %41;*/é`
		b.put(t, map[string]string{prefix + "/o": "in it"})
		hostile := *b
		hostile.password, hostile.salt = "another\\ \"$(id)\"", "s'a'lt"
		hostile.Instance = hostile.render(t, func(_, rclone map[string]any) { rclone["prefix"] = "second" })
		env := map[string]string{"HOLDFAST_SOURCE": "src:files/" + prefix, "HOLDFAST_INSTANCE": `$(id) "x" '`, "BANDWIDTH": ""}
		defer b.rclone(t, "", "purge", "bak:copies/second")
		hostile.dump(t, env).OK(t)
		env["HOLDFAST_SOURCE"] = "src:elsewhere/" + prefix
		hostile.restore(t, env).OK(t)
		sameObjects(t, "restored", folderContent(t, filepath.Join(b.source.Dir, "elsewhere", prefix)), map[string]string{"o": "in it"})
		for name, value := range map[string]string{
			"CANARY_PATH": "current/x", "MAX_DELETE_PERCENT": "101", "HISTORY_DAYS": "0", "TRANSFERS": "4 --delete", "CRYPT_PASSWORDS_ARE": "x",
			"HOLDFAST_DEADLINE": "-1",
		} {
			b.dump(t, map[string]string{name: value}).Fails(t, 64, name)
		}
		b.dump(t, map[string]string{"CRYPT_PASSWORD": "two\nlines"}).Fails(t, 64, "CRYPT_PASSWORD holds a line break")
		b.dump(t, map[string]string{"BANDWIDTH": "--delete-excluded"}).Fails(t, 64)
		b.rcloneOK(t, "", "purge", "bak:copies/second")
		again(t)
	})
	t.Run("old-rclone", func(t *testing.T) {
		old := *b
		old.options.Image.Bin = []string{"/usr/bin/rclone"}
		out, err := exec.Command("/usr/bin/rclone", "version").Output()
		if err != nil || !strings.HasPrefix(string(out), "rclone v1.60.") {
			t.Fatalf("Debian's rclone is %q: %v", out, err)
		}
		old.dump(t, nil).Fails(t, 69, "rclone is older than 1.72")
		untouched(t)
		old.restore(t, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).Fails(t, 69, "rclone is older than 1.72")
		fresh := *b
		fresh.options.Image = old.options.Image
		fresh.Instance = b.render(t, func(_, rclone map[string]any) { rclone["prefix"] = "fresh" })
		fresh.dump(t, nil).Fails(t, 69, "older than 1.72")
		untouched(t)
	})
	t.Run("wrong-canary", func(t *testing.T) {
		b.dump(t, map[string]string{"CANARY_SHA256": strings.Repeat("ab", 32)}).Fails(t, 65, "expected is abab")
		// A place that is empty though its canary is known.
		b.dump(t, map[string]string{"CANARY_SHA256": strings.Repeat("ab", 32), "HOLDFAST_BACKUP": "bak:copies/fresh"}).
			Fails(t, 65, "it was emptied, or this is another place")
		b.restore(t, map[string]string{"HOLDFAST_BACKUP": "bak:copies/fresh", "HOLDFAST_OVERWRITE": "yes"}).Fails(t, 65, "the backup is empty")
		untouched(t)
	})
	t.Run("tls", func(t *testing.T) {
		untrusted := *b
		untrusted.Instance = b.render(t, func(_, rclone map[string]any) { rclone["caPem"] = string(harness.NewCA(t).PEM) })
		quick := at("HOLDFAST_UNUSED", "")
		untrusted.dump(t, quick).Fails(t, 69, "certificate")
		untrusted.Instance = b.render(t, func(_, rclone map[string]any) { rclone["caPem"] = b.backup.CAPem })
		untrusted.dump(t, quick).Fails(t, 69, "measuring the source", "certificate")
		untouched(t)
	})
}

// bucketLocked runs the container's whole command against a real API server.
func bucketLocked(t *testing.T) {
	b := newBuckets(t)
	cluster := harness.Cluster(t)
	cluster.Install(t, b.Instance)
	b.options.FreeLocks, b.options.Cluster = false, cluster
	lock := b.Unit(t, "bucket/files").Lock
	set := func(t *testing.T, lock, data string) {
		t.Helper()
		cluster.Kubectl(t, "patch", "configmap", lock, "--namespace=app", "--type=merge", "--patch", `{"data":`+data+`}`)
	}
	free := func(t *testing.T) {
		t.Helper()
		if data := cluster.Kubectl(t, "get", "configmap", lock, "--namespace=app", "--output=jsonpath={.data}"); data != "" {
			t.Errorf("the lock holds %s", data)
		}
	}
	objects := map[string]string{"big": strings.Repeat("x", 4<<20), "small": "small"}
	b.put(t, objects)
	t.Run("dump", func(t *testing.T) {
		b.dump(t, nil).OK(t)
		free(t)
	})
	t.Run("restore", func(t *testing.T) {
		b.rcloneOK(t, "", "delete", "src:files")
		b.restore(t, nil).OK(t)
		free(t)
		sameObjects(t, "restored", b.objects(t), objects)
	})
	t.Run("held", func(t *testing.T) {
		b.put(t, map[string]string{"small": "SMALL"})
		before, changed := b.copies(t), b.objects(t)
		for _, held := range []string{lock, b.Plan.InstanceLock} {
			for _, data := range []string{fmt.Sprintf(`{"holder":"somebody","until":"%d"}`, time.Now().Add(time.Hour).Unix()), `{"holder":"somebody","until":null}`} {
				set(t, held, data)
				b.dump(t, nil).Fails(t, 75, "skipped: "+held+" is held by somebody")
				b.restore(t, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).Fails(t, 75, "skipped: "+held+" is held by somebody")
			}
			set(t, held, "null")
			free(t)
		}
		sameObjects(t, "the copy", b.copies(t), before)
		sameObjects(t, "the source", b.objects(t), changed)
		b.restore(t, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).OK(t)
		sameObjects(t, "restored once it is free", b.objects(t), objects)
	})
	t.Run("term", func(t *testing.T) {
		b.rcloneOK(t, "", "purge", "bak:copies/deep")
		process := b.Start(t, "bucket/files", "dump", b.with(map[string]string{"BANDWIDTH": "20k"}))
		harness.WaitFor(t, "the copy has begun", 20*time.Second, func() error {
			if out, _ := b.rclone(t, "", "lsf", "enc:unfinished"); !strings.HasPrefix(out, "2") {
				return fmt.Errorf("no mark: %s", out)
			}
			return nil
		})
		process.Signal(syscall.SIGTERM)
		since := time.Now()
		if result := process.Wait(); result.Code != 143 || time.Since(since) > harness.Patience {
			t.Errorf("it ended with %d after %s: %s", result.Code, time.Since(since), result.Stderr)
		}
		free(t)
		b.dump(t, nil).OK(t)
		sameObjects(t, "the copy", b.decrypted(t, "current"), objects)
	})
}

package e2e_test

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

const volumeUnit = "volume/uploads"

// volumes is a claim "uploads" with its backup, made as K8up makes it.
type volumes struct {
	*harness.Instance
	server *harness.S3Server
	// root is a file system of its own, with the claim at /data/uploads: that is
	// the path by which K8up's pods know it.
	root    string
	uid     int
	options harness.Options
	// capabilities of the pod that reads as root; nil for all.
	capabilities []uintptr
}

func newVolumes(t *testing.T, uid int, settings ...func(volume map[string]any)) *volumes {
	t.Helper()
	v := &volumes{server: harness.S3(t, "copies"), root: harness.Folder(t, 0), uid: uid}
	v.Instance = v.render(t, "uploads", settings...)
	v.options = harness.Options{FreeLocks: true, Env: map[string]string{}}
	restic, err := os.ReadFile(harness.Program(t, "restic"))
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"restic": restic, "ca.crt": []byte(v.server.CAPem)} {
		if err := os.WriteFile(filepath.Join(v.root, name), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, folder := range []string{"tmp", "data/uploads", "data/other"} {
		if err := os.MkdirAll(filepath.Join(v.root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(v.root, folder), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	v.Restic(t, volumeUnit, "init")
	return v
}

func (v *volumes) render(t *testing.T, claim string, settings ...func(volume map[string]any)) *harness.Instance {
	t.Helper()
	volume := map[string]any{
		"claim": claim, "accessModes": []any{"ReadWriteOnce"}, "owner": map[string]any{"uid": v.uid, "gid": v.uid},
		"workload": map[string]any{"kind": "Deployment", "name": "shop"}, "backup": "required", "minFiles": 3,
	}
	for _, setting := range settings {
		setting(volume)
	}
	return harness.Render(t, harness.Inputs{
		State: map[string]any{
			"instanceId": "vol", "volumes": []any{volume},
			// Less than a file of fill: what is restored goes to the claim.
			"backup": map[string]any{"enabled": true, "scratch": map[string]any{"volume": "3Mi"}},
		},
		Credentials: map[string]any{"restic": v.server.Restic("copies", "")},
	})
}

// backup runs restic as K8up does: host, path, tags, user.
func (v *volumes) backup(t *testing.T, claim string) {
	t.Helper()
	item := v.Unit(t, volumeUnit)
	arguments := []string{"backup", "--host", item.Namespace, "--json"}
	for _, tag := range item.Tags {
		arguments = append(arguments, "--tag", tag)
	}
	repository := v.Plan.Repositories[item.Repository]
	cmd := exec.Command("/restic", append(arguments, "/data/"+claim)...)
	cmd.Path, cmd.Err, cmd.Dir = "/restic", nil, "/"
	cmd.Env = []string{
		"HOME=/tmp", "TMPDIR=/tmp", "RESTIC_CACHE_DIR=/tmp/cache", "RESTIC_CACERT=/ca.crt", "RESTIC_REPOSITORY=" + repository.URL,
		"AWS_DEFAULT_REGION=" + repository.Region, "AWS_ACCESS_KEY_ID=" + v.server.AccessKey, "AWS_SECRET_ACCESS_KEY=" + v.server.SecretKey,
		"RESTIC_PASSWORD=e2e-restic-password",
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: v.root, Credential: &syscall.Credential{Uid: uint32(v.uid), Gid: uint32(v.uid)}}
	out, err := v.confined(t, cmd.CombinedOutput)
	// 3: some files could not be read. K8up takes it for a success.
	if err != nil && cmd.ProcessState.ExitCode() != 3 {
		t.Fatalf("restic backup: %v\n%s", err, out)
	}
}

// confined runs a program of uid 0 with no other capabilities than the pod's.
func (v *volumes) confined(t *testing.T, run func() ([]byte, error)) (out []byte, err error) {
	t.Helper()
	if v.capabilities == nil {
		return run()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread ends with the goroutine: what it gave away is its own.
		runtime.LockOSThread()
		for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
			if slices.Contains(v.capabilities, c) {
				continue
			}
			if err = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
				return
			}
		}
		out, err = run()
	}()
	<-done
	return out, err
}

// fill makes files of all sorts, and gives them to uid.
func (v *volumes) fill(t *testing.T, uid int) {
	t.Helper()
	folder := filepath.Join(v.root, "data/uploads")
	old := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	for name, file := range map[string]struct {
		content string
		mode    fs.FileMode
	}{
		"readable": {"readable", 0o644}, "private": {"private", 0o600}, "read-only": {"read only", 0o400}, "program": {"#!/bin/sh\n", 0o750},
		"setgid": {"setgid", 0o755 | fs.ModeSetgid}, "empty": {"", 0o644}, "deep/er/file": {"deep", 0o640},
		"odd/ümläut 日本語": {"utf-8", 0o644}, "odd/line\nbreak": {"line break", 0o644}, "odd/ blank ": {"blanks", 0o644}, "odd/-rf": {"dash", 0o644},
		`odd/$(touch x)"'\*?[`: {"quotes", 0o644}, "odd/latin-\xe9": {"not utf-8", 0o644}, "odd/" + strings.Repeat("l", 255): {"long", 0o644},
		"large": {noise(4 << 20), 0o644},
	} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(file.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
		// After the owner: giving a file away takes the bit.
		if err := os.Chmod(path, file.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Symlink("/etc/passwd", filepath.Join(folder, "absolute-link")), os.Symlink("nowhere\n", filepath.Join(folder, "dangling-link")),
		os.Link(filepath.Join(folder, "private"), filepath.Join(folder, "hard-link")), os.Mkdir(filepath.Join(folder, "empty-folder"), 0o700),
		syscall.Mkfifo(filepath.Join(folder, "fifo"), 0o600), os.Chmod(filepath.Join(folder, "deep"), 0o1775|fs.ModeSticky),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && path != folder && !entry.Type().IsRegular() {
			err = os.Lchown(path, uid, uid)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// noise cannot be compressed, and is the same each time.
func noise(size int) string {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	return string(data)
}

// inventory is each entry below a folder with all that a restore must bring back.
func inventory(t *testing.T, folder string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == folder {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		text := fmt.Sprintf("%s %d:%d", info.Mode(), stat.Uid, stat.Gid)
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(data)
			text += fmt.Sprintf(" %s links %d at %s", hex.EncodeToString(sum[:8]), stat.Nlink, info.ModTime().UTC())
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " -> " + target
		}
		name, err := filepath.Rel(folder, path)
		found[name] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// target is an empty claim.
func (v *volumes) target(t *testing.T) string {
	t.Helper()
	return harness.Folder(t, v.uid)
}

func (v *volumes) restore(t *testing.T, target string, env map[string]string) harness.Result {
	t.Helper()
	return v.Restore(t, volumeUnit, v.into(target, env))
}

// into are the options of a restore into a target.
func (v *volumes) into(target string, env map[string]string) harness.Options {
	o := v.options
	o.Claims = map[string]string{"uploads": target}
	o.Env = maps.Clone(o.Env)
	maps.Copy(o.Env, env)
	return o
}

// snapshots are the ids, oldest first.
func (v *volumes) snapshots(t *testing.T) []string {
	t.Helper()
	var list []struct {
		ID string `json:"short_id"`
	}
	if err := json.Unmarshal([]byte(v.Restic(t, volumeUnit, "snapshots", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

// folder makes folders of the claim's owner, below the root.
func (v *volumes) folder(t *testing.T, name string) {
	t.Helper()
	path := filepath.Join(v.root, name)
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	for ; filepath.Dir(path) != filepath.Join(v.root, "data"); path = filepath.Dir(path) {
		if err := os.Lchown(path, v.uid, v.uid); err != nil {
			t.Fatal(err)
		}
	}
}

// through is what leads a restore to the repository by another endpoint, with
// little patience: restic by itself tries for a quarter of an hour.
func (v *volumes) through(t *testing.T, endpoint string, seconds int) map[string]string {
	own := v.Plan.Repositories[v.Unit(t, volumeUnit).Repository].URL
	return map[string]string{"RESTIC_REPOSITORY": strings.Replace(own, v.server.Endpoint, endpoint, 1), "HOLDFAST_DEADLINE": strconv.Itoa(seconds)}
}

// relay passes connections on to the S3 server until the server has said so many
// bytes. Then it is gone, or silent.
func (v *volumes) relay(t *testing.T, bytes int64, silent bool) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var left atomic.Int64
	left.Store(bytes)
	ended := make(chan struct{})
	var running sync.WaitGroup
	t.Cleanup(func() {
		close(ended)
		_ = listener.Close() // it may be closed already
		running.Wait()
	})
	pass := func(client, server net.Conn) {
		defer client.Close()
		defer server.Close()
		go func() {
			_, _ = io.Copy(server, client)
			_ = server.Close()
		}()
		buffer := make([]byte, 4096)
		for {
			n, err := server.Read(buffer)
			if err != nil {
				return
			}
			if left.Add(-int64(n)) < 0 {
				if silent {
					<-ended
				}
				_ = listener.Close()
				return
			}
			if _, err := client.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	running.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", strings.TrimPrefix(v.server.Endpoint, "https://"))
			if err != nil {
				_ = client.Close()
				continue
			}
			running.Go(func() { pass(client, server) })
		}
	})
	return "https://" + listener.Addr().String()
}

// TestVolume is about what is ours: the job that marks claims ("dump"), and the
// restore. K8up itself reads the files, and is not here: restic makes the copies
// as K8up's pod would. What goes wrong in that pod is not shown.
func TestVolume(t *testing.T) {
	t.Run("dump", volumeMarker)
	t.Run("restore", volumeRestore)
	t.Run("restore-as-root", volumeRestoreAsRoot)
	t.Run("several-owners", volumeSeveralOwners)
	t.Run("sparse", volumeSparse)
	t.Run("attributes", volumeAttributes)
	t.Run("failure/items", volumeItems)
	t.Run("failure", volumeFailures)
}

func volumeRestore(t *testing.T) {
	v := newVolumes(t, 4001)
	v.fill(t, v.uid)
	source := filepath.Join(v.root, "data/uploads")
	// What each ext4 has, and nobody but root may read.
	if err := os.Mkdir(filepath.Join(source, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	// restic leaves a socket out: its server makes it anew.
	socket, err := net.Listen("unix", filepath.Join(source, "deep", "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	if err := os.Lchown(filepath.Join(source, "deep", "socket"), v.uid, v.uid); err != nil {
		t.Fatal(err)
	}
	v.backup(t, "uploads")
	want := inventory(t, source)
	delete(want, "lost+found")
	delete(want, "deep/socket")
	for _, shell := range []string{"ash", "dash"} {
		t.Run(shell, func(t *testing.T) {
			v.options.Image.Shell = shell
			target := v.target(t)
			v.restore(t, target, nil).OK(t)
			sameObjects(t, "restored", inventory(t, target), want)
		})
	}
	t.Run("lost+found", func(t *testing.T) {
		target := v.target(t)
		if err := os.Mkdir(filepath.Join(target, "lost+found"), 0o700); err != nil {
			t.Fatal(err)
		}
		v.restore(t, target, nil).OK(t)
		got := inventory(t, target)
		if !strings.HasPrefix(got["lost+found"], "drwx------ 0:0") {
			t.Errorf("lost+found is %q", got["lost+found"])
		}
		delete(got, "lost+found")
		sameObjects(t, "restored", got, want)
	})
	t.Run("not-empty", func(t *testing.T) {
		target := v.target(t)
		if err := os.WriteFile(filepath.Join(target, ".other"), []byte("stays"), 0o644); err != nil {
			t.Fatal(err)
		}
		v.restore(t, target, nil).Fails(t, 65, "HOLDFAST_OVERWRITE=yes", "holds 1 ")
		if got := inventory(t, target); len(got) != 1 {
			t.Errorf("a refused target holds %q", got)
		}
		if err := os.Chown(filepath.Join(target, ".other"), v.uid, v.uid); err != nil {
			t.Fatal(err)
		}
		v.restore(t, target, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).OK(t)
		// Destroyed, and brought back.
		if err := os.WriteFile(filepath.Join(target, "large"), []byte("damaged"), 0o644); err != nil {
			t.Fatal(err)
		}
		v.restore(t, target, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).OK(t)
		got := inventory(t, target)
		if _, ok := got[".other"]; !ok {
			t.Error("a file that is not in the snapshot is gone")
		}
		delete(got, ".other")
		sameObjects(t, "restored", got, want)
	})
	// The list of the files is larger than the scratch space.
	t.Run("many", func(t *testing.T) {
		many := newVolumes(t, 4001)
		many.folder(t, "data/uploads/thousands")
		name := strings.Repeat("n", 200)
		for n := range 8000 {
			path := filepath.Join(many.root, "data/uploads/thousands", name+strconv.Itoa(n))
			if err := errors.Join(os.WriteFile(path, []byte("x"), 0o644), os.Lchown(path, 4001, 4001)); err != nil {
				t.Fatal(err)
			}
		}
		many.backup(t, "uploads")
		if r := many.restore(t, many.target(t), nil).OK(t); !strings.Contains(r.Stderr, "restored: 8001 entries, 8000 files") {
			t.Errorf("it said:\n%s", r.Stderr)
		}
	})
	// What a check or prune leaves behind when its node goes down: a lock of which
	// nobody knows for half an hour that its owner is dead.
	t.Run("locked-by-the-dead", func(t *testing.T) {
		check := v.ResticCommand(t, volumeUnit, "check", "--read-data", "--limit-download=1")
		if err := harness.StartChild(check); err != nil {
			t.Fatal(err)
		}
		harness.WaitFor(t, "the check holds its lock", 30*time.Second, func() error {
			if v.Restic(t, volumeUnit, "list", "locks", "--no-lock") == "" {
				return errors.New("not yet")
			}
			return nil
		})
		_ = check.Process.Kill()
		_ = check.Wait() // killed
		defer v.Restic(t, volumeUnit, "unlock", "--remove-all")
		target := v.target(t)
		v.restore(t, target, nil).OK(t)
		sameObjects(t, "restored", inventory(t, target), want)
	})
	t.Run("by-id", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(source, "later"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		v.backup(t, "uploads")
		target := v.target(t)
		v.restore(t, target, map[string]string{"HOLDFAST_SNAPSHOT": v.snapshots(t)[0]}).OK(t)
		sameObjects(t, "restored", inventory(t, target), want)
	})
}

// Files of several owners come back with their owners only by root.
func volumeRestoreAsRoot(t *testing.T) {
	v := newVolumes(t, 0, func(volume map[string]any) {
		volume["runAsRoot"] = map[string]any{"reason": "several owners"}
	})
	v.fill(t, 0)
	for i, name := range []string{"private", "deep/er/file", "absolute-link", "empty-folder"} {
		if err := os.Lchown(filepath.Join(v.root, "data/uploads", name), 2000+i, 3000+i); err != nil {
			t.Fatal(err)
		}
	}
	v.backup(t, "uploads")
	target := v.target(t)
	v.restore(t, target, nil).OK(t)
	sameObjects(t, "restored", inventory(t, target), inventory(t, filepath.Join(v.root, "data/uploads")))
}

// Two users in one volume, as after an upgrade that changed the application's
// user, and a queue that only root may enter. Whoever reads as one of them has
// part of it; root with the one capability that its pod has must have all.
func volumeSeveralOwners(t *testing.T) {
	several := func(volume map[string]any) {
		delete(volume, "owner")
		volume["owners"] = []any{
			map[string]any{"uid": 10991, "gid": 10991}, map[string]any{"uid": 10091, "gid": 10091}, map[string]any{"uid": 0, "gid": 0}, map[string]any{"uid": 77, "gid": 78},
		}
		volume["runAsRoot"] = map[string]any{"reason": "older files belong to another user"}
	}
	v := newVolumes(t, 0, several)
	source := filepath.Join(v.root, "data/uploads")
	for _, file := range []struct {
		name     string
		uid, gid int
	}{
		{"old/media", 10991, 10991}, {"old/thumbnail", 10991, 10091}, {"new/media", 10091, 10091}, {"queue/deferred/1", 0, 101}, {"pid/master.pid", 0, 0},
	} {
		path := filepath.Join(source, file.name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("content of "+file.name), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{path, filepath.Dir(path)} {
			if err := os.Lchown(path, file.uid, file.gid); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, config := range v.Kind("PodConfig") {
		if name, _ := config["metadata"].(map[string]any)["name"].(string); name == v.Unit(t, volumeUnit).PodConfig {
			text, err := json.Marshal(config["spec"])
			if err != nil {
				t.Fatal(err)
			}
			for _, words := range []string{`"runAsUser":0`, `"add":["DAC_READ_SEARCH"]`, `"drop":["ALL"]`} {
				if !strings.Contains(string(text), words) {
					t.Errorf("the pod that reads has not %s: %s", words, text)
				}
			}
		}
	}
	v.capabilities = []uintptr{unix.CAP_DAC_READ_SEARCH}
	v.backup(t, "uploads")
	target := v.target(t)
	result := v.restore(t, target, nil).OK(t)
	sameObjects(t, "restored", inventory(t, target), inventory(t, source))
	if !strings.Contains(result.Stderr, "no entry of the snapshot belongs to 77:78, which the state names") ||
		strings.Contains(result.Stderr, "belongs to 10091:10091, which") {
		t.Errorf("it said:\n%s", result.Stderr)
	}
}

// A file with holes takes as much of the claim as before, or the claim would be too
// small for what is in it.
func volumeSparse(t *testing.T) {
	v := newVolumes(t, 4001, func(volume map[string]any) { volume["minFiles"] = 1 })
	size := int64(256 << 20)
	if wholeData() {
		size = 3 << 30
	}
	holes := func(path string, seed int64) {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		for n := range int64(8) {
			if _, err := file.WriteAt([]byte(noise(4096)), (n*size/8+seed*size/16)&^4095); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(file.Truncate(size), file.Close(), os.Lchown(path, v.uid, v.uid)); err != nil {
			t.Fatal(err)
		}
	}
	blocks := func(path string) int64 {
		var stat syscall.Stat_t
		if err := syscall.Stat(path, &stat); err != nil {
			t.Fatal(err)
		}
		return stat.Blocks * 512
	}
	source := filepath.Join(v.root, "data/uploads/image")
	holes(source, 0)
	v.backup(t, "uploads")
	want := inventory(t, filepath.Dir(source))
	target := v.target(t)
	r := v.restore(t, target, nil).OK(t)
	sameObjects(t, "restored", inventory(t, target), want)
	before, after := blocks(source), blocks(filepath.Join(target, "image"))
	t.Logf("%d bytes took %d of the claim, and take %d; restored in %s", size, before, after, r.Took)
	// restic makes a hole of what is nothing but zeros in a chunk of 512 KiB or more,
	// so a block may take a few chunks.
	if after > before+8*(8<<20) || after > size/2 {
		t.Errorf("a file of %d bytes took %d, and takes %d now", size, before, after)
	}
	// Over a file with other content there must be zeros where zeros were.
	holes(filepath.Join(target, "image"), 1)
	v.restore(t, target, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).OK(t)
	sameObjects(t, "restored over another", inventory(t, target), want)
}

// What files have beside content and mode.
func volumeAttributes(t *testing.T) {
	v := newVolumes(t, 4001)
	v.fill(t, v.uid)
	folder := filepath.Join(v.root, "data/uploads")
	// user:4002:rw- and a mask, as setfacl writes them.
	acl := []byte{2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 0xa2, 0x0f, 0, 0, 4, 0, 4, 0, 255, 255, 255, 255, 16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 4, 0, 255, 255, 255, 255}
	of := map[string]map[string][]byte{
		"readable":     {"user.note": []byte("größe\x00\n"), "system.posix_acl_access": acl},
		"empty-folder": {"user.empty": {}, "system.posix_acl_default": acl},
	}
	for name, attributes := range of {
		for attribute, value := range attributes {
			if err := unix.Lsetxattr(filepath.Join(folder, name), attribute, value, 0); err != nil {
				t.Fatalf("%s of %s: %v", attribute, name, err)
			}
		}
	}
	v.backup(t, "uploads")
	target := v.target(t)
	v.restore(t, target, nil).OK(t)
	sameObjects(t, "restored", inventory(t, target), inventory(t, folder))
	for name, attributes := range of {
		for attribute, want := range attributes {
			got := make([]byte, 1024)
			n, err := unix.Lgetxattr(filepath.Join(target, name), attribute, got)
			if err != nil || !bytes.Equal(got[:n], want) {
				t.Errorf("%s of %s is %q, and was %q: %v", attribute, name, got[:max(n, 0)], want, err)
			}
		}
	}
}

// What one entry stops does not stop the others, and each is named: a restore ends
// well only if all came back as it was, or the request says what need not.
func volumeItems(t *testing.T) {
	t.Run("devices", func(t *testing.T) {
		v := newVolumes(t, 0, func(volume map[string]any) {
			volume["runAsRoot"] = map[string]any{"reason": "a chroot with its devices"}
		})
		v.fill(t, 0)
		source := filepath.Join(v.root, "data/uploads")
		for n, name := range []string{"deep/null", "odd/a device", "loop 0"} {
			kind := uint32(syscall.S_IFCHR)
			if n == 2 {
				kind = syscall.S_IFBLK
			}
			if err := syscall.Mknod(filepath.Join(source, name), kind|0o600, 259); err != nil {
				t.Fatal(err)
			}
		}
		v.backup(t, "uploads")
		want := inventory(t, source)
		for _, name := range []string{"deep/null", "odd/a device", "loop 0"} {
			delete(want, name)
		}
		for _, shell := range []string{"ash", "dash"} {
			v.options.Image.Shell = shell
			target := v.target(t)
			// Its pod has no right to make devices.
			v.restore(t, target, nil).Fails(t, 65, "3 items of the copy did not come back", "/deep/null: ", "/odd/a device: ", "/loop 0: ", "operation not permitted")
			sameObjects(t, "restored", inventory(t, target), want)
			target = v.target(t)
			v.restore(t, target, map[string]string{"HOLDFAST_LEAVE_OUT": "/deep/null\n/loop*"}).Fails(t, 65, "1 items of the copy did not come back", "/odd/a device: ")
			target = v.target(t)
			r := v.restore(t, target, map[string]string{"HOLDFAST_LEAVE_OUT": "/deep/null\n/odd/*\n/loop 0"}).OK(t)
			for _, words := range []string{"3 items were left out", "/deep/null", "/odd/a device", "/loop 0"} {
				if !strings.Contains(r.Stderr, words) {
					t.Errorf("it does not say %q:\n%s", words, r.Stderr)
				}
			}
			sameObjects(t, "restored", inventory(t, target), want)
		}
	})
	// Only root may give a file to another group or user, and restic does not say that
	// it could not: not even the mode's bits that go with it.
	t.Run("owners", func(t *testing.T) {
		v := newVolumes(t, 4001)
		v.fill(t, v.uid)
		source := filepath.Join(v.root, "data/uploads")
		for name, owner := range map[string][2]int{"readable": {4001, 4007}, "deep/er": {4001, 4007}, "program": {4008, 4001}} {
			if err := errors.Join(os.Lchown(filepath.Join(source, name), owner[0], owner[1]), os.Chmod(filepath.Join(source, name), 0o755|fs.ModeSetgid)); err != nil {
				t.Fatal(err)
			}
		}
		v.backup(t, "uploads")
		for _, shell := range []string{"ash", "dash"} {
			v.options.Image.Shell = shell
			target := v.target(t)
			v.restore(t, target, nil).Fails(t, 65, "3 items of the copy did not come back", "/readable: it was of 4001:4007", "/deep/er: it was of 4001:4007", "/program: it was of 4008:4001")
			got, want := inventory(t, target), inventory(t, source)
			for _, name := range []string{"readable", "deep/er", "program"} {
				delete(got, name)
				delete(want, name)
			}
			sameObjects(t, "restored", got, want)
			v.restore(t, v.target(t), map[string]string{"HOLDFAST_LEAVE_OUT": "/readable\n/deep/*\n/program"}).OK(t)
		}
	})
	// A folder that cannot be replaced costs what is in it.
	t.Run("in the way", func(t *testing.T) {
		v := newVolumes(t, 4001)
		v.fill(t, v.uid)
		v.backup(t, "uploads")
		target := v.target(t)
		if err := errors.Join(os.MkdirAll(filepath.Join(target, "deep"), 0o755), os.WriteFile(filepath.Join(target, "deep/root"), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		v.restore(t, target, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).Fails(t, 65, "/deep/er/file: ", "ermission denied")
		got, want := inventory(t, target), inventory(t, filepath.Join(v.root, "data/uploads"))
		for name := range want {
			if strings.HasPrefix(name, "deep") {
				delete(want, name)
				delete(got, name)
			}
		}
		delete(got, "deep/root")
		sameObjects(t, "restored", got, want)
	})
}

func volumeFailures(t *testing.T) {
	v := newVolumes(t, 4001)
	v.fill(t, v.uid)
	v.backup(t, "uploads")
	first := v.snapshots(t)[0]
	if err := os.WriteFile(filepath.Join(v.root, "data/other/a"), []byte("another claim's"), 0o644); err != nil {
		t.Fatal(err)
	}
	v.backup(t, "other")
	other := v.snapshots(t)[1]
	// refused is a restore that must leave an empty target as it is.
	refused := func(t *testing.T, code int, env map[string]string, words ...string) {
		t.Helper()
		target := v.target(t)
		v.restore(t, target, env).Fails(t, code, words...)
		if got := inventory(t, target); len(got) != 0 {
			t.Errorf("a refused restore wrote %q", got)
		}
	}
	t.Run("wrong-password", func(t *testing.T) {
		refused(t, 69, map[string]string{"RESTIC_PASSWORD": "another"}, "the restic password does not open the repository")
	})
	t.Run("wrong-snapshot", func(t *testing.T) {
		refused(t, 65, map[string]string{"HOLDFAST_SNAPSHOT": other}, "not this unit's", "/data/other")
		refused(t, 65, map[string]string{"HOLDFAST_SNAPSHOT": "0123456789abcdef"}, "0 snapshots match")
		refused(t, 64, map[string]string{"HOLDFAST_SNAPSHOT": "--help"}, "HOLDFAST_SNAPSHOT")
		refused(t, 65, map[string]string{"HOLDFAST_SNAPSHOT_HOST": "elsewhere"}, "0 snapshots match")
		refused(t, 65, map[string]string{"HOLDFAST_TAG": "volume/other"}, "0 snapshots match")
	})
	t.Run("wrong-uid", func(t *testing.T) {
		wrong := *v
		wrong.uid = 4002
		wrong.Instance = wrong.render(t, "uploads")
		target := wrong.target(t)
		wrong.restore(t, target, nil).Fails(t, 65, "belonged to another uid than 4002 (4001 4001 23;)")
		if got := inventory(t, target); len(got) != 0 {
			t.Errorf("a refused restore wrote %q", got)
		}
	})
	t.Run("permission-denied", func(t *testing.T) {
		// The claim's folder is somebody else's.
		v.restore(t, harness.Folder(t, 0), nil).Fails(t, 69, "permission denied")
	})
	t.Run("too-few", func(t *testing.T) {
		refused(t, 65, map[string]string{"HOLDFAST_MIN_COUNT": "1000"}, "fewer than 1000")
	})
	t.Run("empty", func(t *testing.T) {
		empty := newVolumes(t, 4001)
		empty.backup(t, "uploads")
		target := empty.target(t)
		empty.restore(t, target, nil).Fails(t, 65, "the snapshot holds no file")
		// Folders alone are no file.
		empty.folder(t, "data/uploads/a/b")
		empty.backup(t, "uploads")
		empty.restore(t, target, nil).Fails(t, 65, "the snapshot holds no file")
		if got := inventory(t, target); len(got) != 0 {
			t.Errorf("a refused restore wrote %q", got)
		}
	})
	t.Run("allowed-empty", func(t *testing.T) {
		empty := newVolumes(t, 4001)
		allowed := map[string]string{"HOLDFAST_ALLOW_EMPTY": "nothing was uploaded yet"}
		restored := func(t *testing.T) {
			t.Helper()
			target := empty.target(t)
			if r := empty.restore(t, target, allowed).OK(t); !strings.Contains(r.Stderr, "empty, which is allowed: nothing was uploaded yet") {
				t.Errorf("it said:\n%s", r.Stderr)
			}
			sameObjects(t, "restored", inventory(t, target), inventory(t, filepath.Join(empty.root, "data/uploads")))
		}
		empty.backup(t, "uploads")
		restored(t)
		empty.folder(t, "data/uploads/a/b")
		empty.backup(t, "uploads")
		restored(t)
		// One file of three is not an empty copy, but a part of one.
		if err := os.WriteFile(filepath.Join(empty.root, "data/uploads/one"), []byte("one"), 0o644); err != nil {
			t.Fatal(err)
		}
		empty.backup(t, "uploads")
		target := empty.target(t)
		empty.restore(t, target, allowed).Fails(t, 65, "the snapshot holds 1 files, fewer than 3")
		if got := inventory(t, target); len(got) != 0 {
			t.Errorf("a refused restore wrote %q", got)
		}
	})
	// A restore whose server goes or hangs while files come. When its time is over,
	// restic tries for a minute to give back its lock of the repository, so these
	// run beside the rest.
	cutOff := func(silent bool) (target string, p *harness.Process) {
		target = v.target(t)
		o := v.into(target, v.through(t, v.relay(t, 2<<20, silent), 20))
		o.Timeout = 4 * time.Minute
		return target, v.Start(t, volumeUnit, "apply", o)
	}
	gone, goneRestore := cutOff(false)
	hung, hungRestore := cutOff(true)
	// partly is what such a restore leaves: no copy. The next one does not take it
	// for one, and a restore over it is whole.
	partly := func(t *testing.T, target string) {
		t.Helper()
		whole := inventory(t, filepath.Join(v.root, "data/uploads"))
		if maps.Equal(inventory(t, target), whole) {
			t.Error("all had come already: it was too late")
		}
		v.restore(t, target, nil).Fails(t, 65, "the target holds", "HOLDFAST_OVERWRITE=yes")
		v.restore(t, target, map[string]string{"HOLDFAST_OVERWRITE": "yes"}).OK(t)
		sameObjects(t, "restored", inventory(t, target), whole)
	}
	// Two pods of ours meet a server: the restore reads the repository in the S3
	// server, the marker patches claims at the API server.
	t.Run("server-gone-before", func(t *testing.T) {
		t.Run("restore", func(t *testing.T) {
			gone := fmt.Sprintf("https://127.0.0.1:%d", harness.ClosedPort(t))
			// restic tries again for minutes, and first says why after a while.
			refused(t, 69, v.through(t, gone, 20), "listing the snapshots did not end within 20 s", "connection refused")
		})
		t.Run("marker", func(t *testing.T) {
			m := newMarker(t, "marker-gone")
			m.claim(t, "one", "two-b")
			api, through := newGate(t, m.account(t))
			api.close()
			m.fails(t, m.run(t, harness.Options{Kubeconfig: through}), 69, "marking one failed", "refused", "0 marked; these could not be: one two-b")
			m.unmarked(t, "one", "two-b")
		})
	})
	t.Run("hostile-names", func(t *testing.T) {
		t.Run("restore", func(t *testing.T) {
			hostile := newVolumes(t, 4001)
			folder := filepath.Join(hostile.root, "data/uploads")
			for n, name := range append(slices.Clone(hostileNames), "-rf", "--delete", "[a]", "?", "**", "{a,b}", "%s%n", "lost+found ", "deep/lost+found/kept", "\x01\x1b[2J", "\xff\xfe",
				"3 3\n4001 3", `{"struct_type":"node"}`, "a\tb", " ", "'", strings.Repeat("é", 127)) {
				// One may be the folder of another.
				path := filepath.Join(folder, fmt.Sprint(n), strings.ReplaceAll(name, "..", "."))
				hostile.folder(t, strings.TrimPrefix(filepath.Dir(path), hostile.root+"/"))
				if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
					t.Fatal(err)
				}
				if err := os.Lchown(path, hostile.uid, hostile.uid); err != nil {
					t.Fatal(err)
				}
			}
			hostile.backup(t, "uploads")
			want := inventory(t, folder)
			for _, shell := range []string{"ash", "dash"} {
				hostile.options.Image.Shell = shell
				target := hostile.target(t)
				hostile.restore(t, target, nil).OK(t)
				sameObjects(t, "restored", inventory(t, target), want)
			}
		})
		t.Run("request", func(t *testing.T) {
			// What people edit on the day.
			for _, value := range hostileValues {
				for _, variable := range []string{"HOLDFAST_SNAPSHOT", "HOLDFAST_SNAPSHOT_PATH", "HOLDFAST_SNAPSHOT_HOST", "HOLDFAST_TAG", "HOLDFAST_TARGET", "HOLDFAST_UID"} {
					target := v.target(t)
					r := v.restore(t, target, map[string]string{variable: value})
					if r.Code != 64 && r.Code != 65 {
						t.Errorf("%s=%q ended with %d", variable, value, r.Code)
					}
					r.Fails(t, r.Code)
					if got := inventory(t, target); len(got) != 0 {
						t.Errorf("%s=%q: a refused restore wrote %q", variable, value, got)
					}
				}
			}
		})
		t.Run("marker", func(t *testing.T) {
			m := newMarker(t, "marker-names")
			m.claim(t, "one", "two-b")
			for _, name := range append(slices.Clone(hostileNames), `x","evil":"y`, `x"},"finalizers":["evil"],"a":{"b":"c`, "one/status", "--filename=/etc/passwd") {
				if strings.Contains(name, "\n") {
					// One a line: these are two claims without a label.
					m.fails(t, m.run(t, harness.Options{Env: map[string]string{"HOLDFAST_CLAIMS": name}}), 64, "HOLDFAST_CLAIMS")
					continue
				}
				m.fails(t, m.run(t, harness.Options{Env: map[string]string{"HOLDFAST_CLAIMS": name + " unit"}}), 64, "HOLDFAST_CLAIMS")
				code, word := 64, "HOLDFAST_CLAIMS"
				if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzA-") == "" {
					// Of these the API server knows that they are no labels.
					code, word = 69, "Invalid value"
				}
				m.fails(t, m.run(t, harness.Options{Env: map[string]string{"HOLDFAST_CLAIMS": "one " + name}}), code, word)
			}
			m.unmarked(t, "one", "two-b")
		})
	})
	t.Run("locked", func(t *testing.T) {
		// The lock keeps restores apart from each other and from whoever else takes
		// it. K8up asks nobody for a lock before it reads a claim.
		cluster := harness.Cluster(t)
		cluster.Apply(t, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "app"}})
		cluster.Install(t, v.Instance)
		guarded := *v
		guarded.options.FreeLocks, guarded.options.Cluster = false, cluster
		for _, lock := range []string{v.Unit(t, volumeUnit).Lock, v.Plan.InstanceLock} {
			set := func(data string) {
				t.Helper()
				cluster.Kubectl(t, "patch", "configmap", lock, "--namespace=app", "--type=merge", "--patch", `{"data":`+data+`}`)
			}
			target := v.target(t)
			set(fmt.Sprintf(`{"holder":"upgrade","until":"%d"}`, time.Now().Add(time.Hour).Unix()))
			guarded.restore(t, target, nil).Fails(t, 75, "skipped: "+lock+" is held by upgrade")
			if got := inventory(t, target); len(got) != 0 {
				t.Errorf("a restore that was locked out wrote %q", got)
			}
			set("null")
			guarded.restore(t, target, nil).OK(t)
			sameObjects(t, "restored", inventory(t, target), inventory(t, filepath.Join(v.root, "data/uploads")))
			if data := cluster.Kubectl(t, "get", "configmap", lock, "--namespace=app", "--output=jsonpath={.data}"); data != "" {
				t.Errorf("the lock holds %s", data)
			}
		}
	})
	t.Run("server-gone-in-the-middle", func(t *testing.T) {
		t.Run("restore", func(t *testing.T) {
			goneRestore.Wait().Fails(t, 69, "restic restore did not end within 20 s", "connection re")
			partly(t, gone)
		})
		t.Run("before the files", func(t *testing.T) {
			// In the handshake, and in what restic asks for first.
			for _, n := range []int64{500, 3000} {
				refused(t, 69, v.through(t, v.relay(t, n, false), 5), "listing the snapshots did not end within 5 s")
			}
		})
		t.Run("marker", func(t *testing.T) {
			m := newMarker(t, "marker-middle")
			m.claim(t, "one", "two-b")
			for _, n := range []int64{500, 3000} {
				api, through := newGate(t, m.account(t))
				api.bytes.Store(n)
				m.fails(t, m.run(t, harness.Options{Kubeconfig: through}), 69, "marking one failed", "0 marked; these could not be: one two-b")
			}
			m.unmarked(t, "one", "two-b")
			// Between two claims: one is marked, the other is named.
			api, through := newGate(t, m.account(t))
			o := harness.Options{Kubeconfig: through, ScratchDir: harness.Folder(t, 65532)}
			o.Image = beforeKubectl(t, `case " $* " in *' two-b '*) until [ -e /holdfast/scratch/gone ]; do sleep 0.1; done ;; esac
kubectl "$@"`)
			ended := make(chan harness.Result)
			go func() { ended <- m.run(t, o) }()
			harness.WaitFor(t, "the first claim is marked", 30*time.Second, func() error {
				if got := m.read(t, "one"); got != "shop mark-vol-one true" {
					return fmt.Errorf("the claim says %q", got)
				}
				return nil
			})
			api.close()
			if err := os.WriteFile(filepath.Join(o.ScratchDir, "gone"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
			m.fails(t, <-ended, 69, "one: marked for mark-vol-one", "marking two-b failed", "refused", "1 marked; these could not be: two-b")
			m.unmarked(t, "two-b")
		})
	})
	t.Run("slow", func(t *testing.T) {
		quick := func(t *testing.T, took time.Duration) {
			t.Helper()
			if took > harness.Patience {
				t.Errorf("it took %s", took)
			}
		}
		t.Run("restore", func(t *testing.T) {
			target := v.target(t)
			r := v.restore(t, target, v.through(t, v.relay(t, 0, true), 5)).Fails(t, 69, "listing the snapshots did not end within 5 s")
			quick(t, r.Took)
			if got := inventory(t, target); len(got) != 0 {
				t.Errorf("a refused restore wrote %q", got)
			}
			hungRestore.Wait().Fails(t, 69, "restic restore did not end within 20 s")
			partly(t, hung)
		})
		t.Run("marker", func(t *testing.T) {
			m := newMarker(t, "marker-slow")
			m.claim(t, "one", "two-b")
			api, through := newGate(t, m.account(t))
			api.shut.Store(true)
			for _, shell := range []string{"ash", "dash"} {
				r := m.run(t, harness.Options{Kubeconfig: through, Image: harness.Image{Shell: shell}, Env: map[string]string{"HOLDFAST_DEADLINE": "2"}})
				m.fails(t, r, 69, "marking one did not end within 2 s", "marking two-b did not end within 2 s", "0 marked; these could not be: one two-b")
				quick(t, r.Took)
			}
			m.unmarked(t, "one", "two-b")
		})
	})
	t.Run("tls", func(t *testing.T) {
		untrusted := *v
		ca := harness.NewCA(t)
		server := *v.server
		server.CAPem = string(ca.PEM)
		untrusted.server = &server
		untrusted.Instance = untrusted.render(t, "uploads")
		target := v.target(t)
		untrusted.restore(t, target, map[string]string{"HOLDFAST_DEADLINE": "10"}).Fails(t, 69, "listing the snapshots")
	})
	t.Run("disk-full", func(t *testing.T) {
		target := v.target(t)
		if err := syscall.Mount("tmpfs", target, "tmpfs", 0, fmt.Sprintf("size=1m,uid=%d,mode=0700", v.uid)); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := syscall.Unmount(target, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		}()
		result := v.restore(t, target, nil)
		if result.Code == 0 {
			t.Error("a full target was restored")
		}
		result.Fails(t, result.Code, "no space left on device")
	})
	// restic writes a snapshot last, so a backup that did not end is none. What can
	// be short is what it stored: each kind of file in the repository.
	byID := map[string]string{"HOLDFAST_SNAPSHOT": first, "HOLDFAST_DEADLINE": "30"}
	t.Run("truncated", func(t *testing.T) {
		for _, c := range []struct {
			name string
			code int
			word string
		}{
			{"config", 69, "listing the snapshots failed"}, {"keys", 69, "listing the snapshots failed"}, {"snapshots", 65, "0 snapshots match"},
			{"index", 69, "listing the snapshot failed"}, {"data", 69, "listing the snapshot failed"},
		} {
			for _, part := range []int{0, 2} {
				t.Run(fmt.Sprintf("%s to %d quarters", c.name, part), func(t *testing.T) {
					defer change(t, v.stored(t, c.name), func(data []byte) []byte { return data[:len(data)*part/4] })()
					refused(t, c.code, byID, c.word)
				})
			}
		}
		// The files' own data comes to light only when they are written.
		for _, part := range []int{0, 2, 3} {
			t.Run(fmt.Sprintf("the largest pack to %d quarters", part), func(t *testing.T) {
				defer change(t, v.stored(t, "data")[:1], func(data []byte) []byte { return data[:len(data)*part/4] })()
				target := v.target(t)
				v.restore(t, target, byID).Fails(t, 65, "items of the copy did not come back", "/large: ")
				v.restore(t, target, byID).Fails(t, 65, "the target holds", "HOLDFAST_OVERWRITE=yes")
			})
		}
		v.restore(t, v.target(t), byID).OK(t)
		// restic leaves out a snapshot that it cannot read: what is then the newest is
		// not the latest.
		two := newVolumes(t, 4001)
		two.fill(t, two.uid)
		two.backup(t, "uploads")
		older := two.stored(t, "snapshots")
		two.backup(t, "uploads")
		newer := slices.DeleteFunc(two.stored(t, "snapshots"), func(file string) bool { return slices.Contains(older, file) })
		mend := change(t, newer, func(data []byte) []byte { return data[:len(data)/2] })
		target := two.target(t)
		two.restore(t, target, nil).Fails(t, 65, "a snapshot cannot be read", "Ignoring", "name one by its id")
		if got := inventory(t, target); len(got) != 0 {
			t.Errorf("a refused restore wrote %q", got)
		}
		two.restore(t, target, map[string]string{"HOLDFAST_SNAPSHOT": filepath.Base(older[0])}).OK(t)
		mend()
		two.restore(t, two.target(t), nil).OK(t)
	})
	t.Run("damaged", func(t *testing.T) {
		flip := func(data []byte) []byte {
			data = bytes.Clone(data)
			for i := range data[:200] {
				data[i] ^= 0xff
			}
			return data
		}
		defer change(t, v.stored(t, "data")[:1], flip)()
		v.restore(t, v.target(t), byID).Fails(t, 65, "items of the copy did not come back", "ciphertext verification failed")
	})
}

// stored are the repository's files of one kind, the largest first.
func (v *volumes) stored(t *testing.T, kind string) []string {
	t.Helper()
	size := map[string]int64{}
	err := filepath.WalkDir(filepath.Join(v.server.Dir, "copies", "vol", "app", kind), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size[path] = info.Size()
		}
		return err
	})
	if err != nil || len(size) == 0 {
		t.Fatalf("the repository has %d files of %s: %v", len(size), kind, err)
	}
	return slices.SortedFunc(maps.Keys(size), func(a, b string) int { return cmp.Compare(size[b], size[a]) })
}

// change changes files, and returns what brings them back.
func change(t *testing.T, files []string, f func([]byte) []byte) (mend func()) {
	t.Helper()
	before := map[string][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before[file] = data
		if err := os.WriteFile(file, f(data), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for file, data := range before {
			if err := os.WriteFile(file, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// marker is the job that marks claims, in a namespace of the real API server.
type marker struct {
	instance  *harness.Instance
	cluster   *harness.ClusterServer
	namespace string
	name      string
}

// newMarker renders and installs one for the claims "one" and "two-b", without
// the claims.
func newMarker(t *testing.T, namespace string) *marker {
	t.Helper()
	volume := func(claim, backup string) map[string]any {
		return map[string]any{"claim": claim, "accessModes": []any{"ReadWriteMany"}, "owner": map[string]any{"uid": 4001, "gid": 4001}, "backup": backup}
	}
	one, none := volume("one", "required"), volume("none", "skip")
	one["accessModes"], one["workload"] = []any{"ReadWriteOnce"}, map[string]any{"kind": "Deployment", "name": "shop"}
	none["reason"] = "a test"
	m := &marker{cluster: harness.Cluster(t), namespace: namespace}
	m.instance = harness.Render(t, harness.Inputs{State: map[string]any{
		"instanceId": "mark", "namespace": namespace, "volumes": []any{one, volume("two-b", "required"), none},
	}})
	m.name = m.instance.Plan.Markers[0].Name
	m.cluster.Apply(t, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace}})
	m.cluster.Install(t, m.instance)
	return m
}

// claim makes live claims.
func (m *marker) claim(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		m.cluster.Apply(t, map[string]any{
			"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": name, "namespace": m.namespace, "labels": map[string]any{"app": "shop"}},
			"spec": map[string]any{"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}},
		})
	}
}

// account is a kubeconfig of the job's account.
func (m *marker) account(t *testing.T) string {
	t.Helper()
	return m.cluster.ServiceAccountKubeconfig(t, m.namespace, m.name)
}

func (m *marker) run(t *testing.T, o harness.Options) harness.Result {
	t.Helper()
	if o.Kubeconfig == "" {
		o.Cluster = m.cluster
	}
	return m.instance.Job(t, "CronJob", m.namespace, m.name, "", o)
}

// fails fails the test unless the job ended with that code and said each of the
// words. Result.Fails would look for a unit's name, which this job has not.
func (m *marker) fails(t *testing.T, r harness.Result, code int, words ...string) {
	t.Helper()
	var missing []string
	for _, word := range append([]string{"holdfast: marker: "}, words...) {
		if !strings.Contains(r.Stderr, word) {
			missing = append(missing, word)
		}
	}
	if r.Code != code || len(missing) > 0 {
		t.Errorf("the marker ended with %d, not with %d, and does not say %q. It said:\n%s", r.Code, code, missing, r.Stderr)
	}
}

// read is what a claim says: the application's label, ours, and K8up's annotation.
func (m *marker) read(t *testing.T, claim string) string {
	t.Helper()
	return m.cluster.Kubectl(t, "get", "persistentvolumeclaim", claim, "--namespace="+m.namespace,
		`--output=jsonpath={.metadata.labels.app} {.metadata.labels.holdfast\.dev/unit} {.metadata.annotations.k8up\.io/backup}`)
}

func (m *marker) unmarked(t *testing.T, claims ...string) {
	t.Helper()
	for _, claim := range claims {
		if got := m.read(t, claim); got != "shop  " {
			t.Errorf("the claim %s says %q", claim, got)
		}
	}
}

// volumeMarker runs dump.sh, which marks claims, against the real API server.
func volumeMarker(t *testing.T) {
	m := newMarker(t, "marker")
	m.claim(t, "one", "none")
	// One is absent: it is named, and the other marked all the same.
	m.fails(t, m.run(t, harness.Options{}), 69, "marking two-b failed", "NotFound", "1 marked; these could not be: two-b")
	if got := m.read(t, "one"); got != "shop mark-vol-one true" {
		t.Errorf("the claim says %q", got)
	}
	m.claim(t, "two-b")
	for _, shell := range []string{"ash", "dash"} {
		if result := m.run(t, harness.Options{Image: harness.Image{Shell: shell}}); result.Code != 0 {
			t.Errorf("it ended with %d: %s", result.Code, result.Stderr)
		}
	}
	if got := m.read(t, "two-b"); !strings.HasPrefix(got, "shop mark-vol-") || !strings.HasSuffix(got, " true") {
		t.Errorf("the claim says %q", got)
	}
	m.unmarked(t, "none")
	for name, c := range map[string]struct {
		claims string
		code   int
		words  string
	}{
		"not-granted": {"none mark-vol-none", 69, "orbidden"},
		"dash":        {"--all x", 64, "is no claim's name"},
		"quotes":      {`one x","y":"z`, 64, "is no label's value"},
		"three-words": {"one x y", 64, "more than two words"},
		"label":       {"one", 64, "is no label's value"},
		"nothing":     {"", 64, "HOLDFAST_CLAIMS is not set"},
	} {
		t.Run(name, func(t *testing.T) {
			m.fails(t, m.run(t, harness.Options{Env: map[string]string{"HOLDFAST_CLAIMS": c.claims}}), c.code, c.words)
		})
	}
	m.unmarked(t, "none")
}

package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

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
		State:       map[string]any{"instanceId": "vol", "volumes": []any{volume}},
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
	out, err := cmd.CombinedOutput()
	// 3: some files could not be read. K8up takes it for a success.
	if err != nil && cmd.ProcessState.ExitCode() != 3 {
		t.Fatalf("restic backup: %v\n%s", err, out)
	}
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
	o := v.options
	o.Claims = map[string]string{"uploads": target}
	o.Env = maps.Clone(o.Env)
	maps.Copy(o.Env, env)
	return v.Restore(t, volumeUnit, o)
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

func TestVolume(t *testing.T) {
	t.Run("dump", volumeMarker)
	t.Run("restore", volumeRestore)
	t.Run("restore-as-root", volumeRestoreAsRoot)
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
	v.backup(t, "uploads")
	want := inventory(t, source)
	delete(want, "lost+found")
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
		wrong.restore(t, target, nil).Fails(t, 65, "belonged to another uid than 4002 (4001 23;)")
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
		empty.restore(t, target, nil).Fails(t, 65, "holds no file")
		empty.restore(t, target, map[string]string{"HOLDFAST_ALLOW_EMPTY": "new"}).OK(t)
	})
	t.Run("server-gone", func(t *testing.T) {
		env := map[string]string{"RESTIC_REPOSITORY": fmt.Sprintf("s3:http://127.0.0.1:%d/copies/vol/app", harness.Port(t)), "HOLDFAST_DEADLINE": "10"}
		refused(t, 69, env, "listing the snapshots")
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
	t.Run("truncated", func(t *testing.T) {
		// The largest pack is cut.
		largest, size := "", int64(0)
		err := filepath.WalkDir(filepath.Join(v.server.Dir, "copies"), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			info, err := entry.Info()
			if err == nil && info.Size() > size {
				largest, size = path, info.Size()
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(largest)
		if err != nil {
			t.Fatal(err)
		}
		damaged := bytes.Clone(whole)
		for i := 100; i < 200; i++ {
			damaged[i] ^= 0xff
		}
		if err := os.WriteFile(largest, damaged, 0o644); err != nil {
			t.Fatal(err)
		}
		v.restore(t, v.target(t), map[string]string{"HOLDFAST_SNAPSHOT": first}).Fails(t, 69, "restic restore failed")
		if err := os.WriteFile(largest, whole, 0o644); err != nil {
			t.Fatal(err)
		}
		v.restore(t, v.target(t), map[string]string{"HOLDFAST_SNAPSHOT": first}).OK(t)
	})
}

// volumeMarker runs dump.sh, which marks claims, against the real API server.
func volumeMarker(t *testing.T) {
	v := &volumes{server: &harness.S3Server{Endpoint: "https://s3.example.test"}, uid: 4001}
	i := harness.Render(t, harness.Inputs{State: map[string]any{"instanceId": "mark", "namespace": "marker", "volumes": []any{
		map[string]any{"claim": "one", "accessModes": []any{"ReadWriteOnce"}, "owner": map[string]any{"uid": v.uid, "gid": v.uid}, "workload": map[string]any{"kind": "Deployment", "name": "shop"}, "backup": "required"},
		map[string]any{"claim": "two.b", "accessModes": []any{"ReadWriteMany"}, "owner": map[string]any{"uid": v.uid, "gid": v.uid}, "backup": "required"},
		map[string]any{"claim": "none", "accessModes": []any{"ReadWriteMany"}, "owner": map[string]any{"uid": v.uid, "gid": v.uid}, "backup": "skip", "reason": "a test"},
	}}})
	cluster := harness.Cluster(t)
	cluster.Apply(t, map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "marker"}})
	cluster.Install(t, i)
	claim := func(name string) map[string]any {
		return map[string]any{
			"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": map[string]any{"name": name, "namespace": "marker", "labels": map[string]any{"app": "shop"}},
			"spec": map[string]any{"accessModes": []any{"ReadWriteOnce"}, "resources": map[string]any{"requests": map[string]any{"storage": "1Gi"}}},
		}
	}
	cluster.Apply(t, claim("one"), claim("none"))
	marker := i.Plan.Markers[0]
	run := func(env map[string]string) harness.Result {
		return i.Job(t, "CronJob", "marker", marker.Name, "", harness.Options{Cluster: cluster, Env: env})
	}
	read := func(name string) string {
		return cluster.Kubectl(t, "get", "persistentvolumeclaim", name, "--namespace=marker",
			`--output=jsonpath={.metadata.labels.app} {.metadata.labels.holdfast\.dev/unit} {.metadata.annotations.k8up\.io/backup}`)
	}
	// One is absent: it is named, and the other marked all the same.
	result := run(nil)
	if result.Code != 69 || !strings.Contains(result.Stderr, "these could not be: two.b") {
		t.Errorf("an absent claim: %d: %s", result.Code, result.Stderr)
	}
	if got := read("one"); got != "shop mark-vol-one true" {
		t.Errorf("the claim says %q", got)
	}
	cluster.Apply(t, claim("two.b"))
	for range 2 {
		if result := run(nil); result.Code != 0 {
			t.Errorf("it ended with %d: %s", result.Code, result.Stderr)
		}
	}
	if got := read("two.b"); !strings.HasPrefix(got, "shop mark-vol-") || !strings.HasSuffix(got, " true") {
		t.Errorf("the claim says %q", got)
	}
	if got := read("none"); got != "shop  " {
		t.Errorf("a claim that is skipped says %q", got)
	}
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
			result := run(map[string]string{"HOLDFAST_CLAIMS": c.claims})
			if result.Code != c.code || !strings.Contains(result.Stderr, c.words) {
				t.Errorf("%q: %d: %s", c.claims, result.Code, result.Stderr)
			}
		})
	}
	if got := read("none"); got != "shop  " {
		t.Errorf("a claim without a grant says %q", got)
	}
}

package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

// ldifText is a copy of a directory, and ldifDump what dump.sh would have printed.
var (
	ldifText = []byte("dn: " + ldapBase + "\nobjectClass: organization\n" + strings.Repeat("description: x\n", 100) + "\n# holdfast: complete, 1 entries\n")
	ldifDump = trailed(ldifText)
)

// trailed is a copy with the trailer that every dump ends with.
func trailed(text []byte) []byte {
	return append(bytes.Clone(text), fmt.Sprintf("\n# holdfast: {\"unit\":\"openldap/directory\",\"count\":1,\"bytes\":%d,\"losses\":[]}\n", len(text))...)
}

// stored renders a directory whose dumps go to a bucket of the server. Its pods
// never read the directory here.
func stored(t *testing.T, section map[string]any) *harness.Instance {
	t.Helper()
	return harness.Render(t, harness.Inputs{
		State: map[string]any{"ldap": map[string]any{
			"baseDn": ldapBase, "host": "127.0.0.1", "port": 389, "statefulSet": "ums-ldap-server-primary", "container": "main", "backup": "required",
		}},
		Credentials: map[string]any{"restic": section},
	})
}

// bootstrap runs the repository's bootstrap Job.
func bootstrap(t *testing.T, i *harness.Instance, env map[string]string) harness.Result {
	t.Helper()
	return i.Job(t, "Job", "app", i.Plan.Repositories["app"].Bootstrap, "", harness.Options{Env: env, Watch: true})
}

// says fails the test unless a bootstrap ended so and said that.
func says(t *testing.T, r harness.Result, code int, words ...string) {
	t.Helper()
	if r.Code != code {
		t.Errorf("ended with %d, not with %d", r.Code, code)
	}
	for _, word := range append([]string{"holdfast: repository/app: "}, words...) {
		if !strings.Contains(r.Stderr, word) {
			t.Errorf("does not say %q", word)
		}
	}
	for _, secret := range []string{"e2e-restic-password", "e2e-secret-key-of-the-s3-server"} {
		if strings.Contains(r.Stderr, secret) {
			t.Error("tells a secret")
		}
	}
	if t.Failed() {
		t.Logf("it said:\n%s", r.Stderr)
	}
}

func TestRepositoryBootstrap(t *testing.T) {
	s3 := harness.S3(t, "backup", "several")
	i := stored(t, s3.Restic("backup", ""))
	t.Run("dump/fresh", func(t *testing.T) {
		says(t, bootstrap(t, i, nil), 0, "the repository was made")
		i.Store(t, ldapUnit, ldifDump)
	})
	t.Run("dump/there", func(t *testing.T) {
		says(t, bootstrap(t, i, nil), 0, "the repository exists")
		if out := i.Restic(t, ldapUnit, "snapshots", "--compact"); !strings.Contains(out, "1 snapshots") {
			t.Errorf("the snapshot is gone:\n%s", out)
		}
	})
	t.Run("failure/wrong-password", func(t *testing.T) {
		says(t, bootstrap(t, i, map[string]string{"RESTIC_PASSWORD": "not the password"}), 65, "the restic password does not open it")
	})
	t.Run("failure/empty-password", func(t *testing.T) {
		says(t, bootstrap(t, i, map[string]string{"RESTIC_PASSWORD": ""}), 64, "RESTIC_PASSWORD is not set")
	})
	t.Run("failure/wrong-bucket", func(t *testing.T) {
		section := s3.Restic("mistyped", "")
		says(t, bootstrap(t, stored(t, section), map[string]string{"HOLDFAST_DEADLINE": "20"}), 65, "there is no bucket mistyped")
		if out := s3.Rclone(t, "lsd", "s3:"); strings.Contains(out, "mistyped") {
			t.Errorf("a bucket was made:\n%s", out)
		}
	})
	t.Run("failure/wrong-key", func(t *testing.T) {
		says(t, bootstrap(t, i, map[string]string{"AWS_SECRET_ACCESS_KEY": "not the key", "HOLDFAST_DEADLINE": "20"}), 69)
	})
	t.Run("failure/key-of-two-lines", func(t *testing.T) {
		// A second line would be an option of curl's.
		for _, variable := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
			for _, end := range []string{"\n", "\r"} {
				says(t, bootstrap(t, i, map[string]string{variable: "a-key" + end + "url = \"file:///etc/passwd\""}), 64, variable+" holds a line break")
			}
		}
	})
	t.Run("failure/wrong-ca", func(t *testing.T) {
		section := s3.Restic("backup", "")
		section["caPem"] = string(harness.NewCA(t).PEM)
		says(t, bootstrap(t, stored(t, section), map[string]string{"HOLDFAST_DEADLINE": "20"}), 69, "asking for the bucket backup")
	})
	t.Run("failure/server-gone-before", func(t *testing.T) {
		section := s3.Restic("backup", "")
		section["endpoint"] = fmt.Sprintf("https://127.0.0.1:%d", harness.ClosedPort(t))
		says(t, bootstrap(t, stored(t, section), map[string]string{"HOLDFAST_DEADLINE": "10"}), 69)
	})
	t.Run("failure/several-at-once", func(t *testing.T) {
		// One Job makes a repository. Should it ever run twice, a repository with
		// two master keys must not pass for a good one.
		for round := range 3 {
			i := stored(t, s3.Restic("several", fmt.Sprintf("r%d", round)))
			results := make([]harness.Result, 4)
			var all sync.WaitGroup
			for n := range results {
				all.Add(1)
				go func() {
					defer all.Done()
					results[n] = bootstrap(t, i, nil)
				}()
			}
			all.Wait()
			good, made := 0, 0
			for _, r := range results {
				if r.Code == 0 {
					good++
				}
				if strings.Contains(r.Stderr, "the repository was made") {
					made++
				}
			}
			t.Logf("round %d: %d ended well, %d made it", round, good, made)
			if made > 1 && good == len(results) {
				t.Errorf("%d made the repository, and none complained", made)
			}
		}
	})
}

// shorten takes the last bytes off what fetch wrote.
func shorten(t *testing.T, scratch string) {
	t.Helper()
	file := filepath.Join(scratch, "restore", "dump")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data[:len(data)-10], 0o644); err != nil {
		t.Fatal(err)
	}
}

// damage flips bytes in every data file of the repositories of a bucket.
func damage(t *testing.T, bucket string) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(bucket, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.Contains(path, "/data/") {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for n := range min(len(data), 4096) {
			data[n] ^= 0xff
		}
		files++
		return os.WriteFile(path, data, 0o644)
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files were damaged: %v", files, err)
	}
}

// fetched runs validate, fetch and verify in one scratch folder.
func fetched(t *testing.T, i *harness.Instance, scratch string, env map[string]string) harness.Result {
	t.Helper()
	var r harness.Result
	for _, step := range []string{"validate", "fetch", "verify"} {
		r = i.RestoreStep(t, ldapUnit, step, harness.Options{ScratchDir: scratch, Env: env})
		if r.Code != 0 {
			break
		}
	}
	return r
}

func TestRepositoryFetch(t *testing.T) {
	s3 := harness.S3(t, "backup")
	i := stored(t, s3.Restic("backup", ""))
	says(t, bootstrap(t, i, nil), 0)
	open := func(t *testing.T) string {
		t.Helper()
		return harness.Folder(t, 65532)
	}
	run := func(t *testing.T, env map[string]string) harness.Result {
		t.Helper()
		return fetched(t, i, open(t), env)
	}
	t.Run("failure/empty", func(t *testing.T) { run(t, nil).Fails(t, 65, "0 snapshots match", "exactly one must") })
	i.Store(t, ldapUnit, ldifDump)
	newest := bytes.Replace(ldifText, []byte("description: x"), []byte("description: newest"), 1)
	i.Store(t, ldapUnit, trailed(newest))
	item := i.Unit(t, ldapUnit)
	path := item.Expected[0].Path

	t.Run("restore/latest", func(t *testing.T) {
		scratch := open(t)
		if got := fetched(t, i, scratch, nil).OK(t); !strings.Contains(got.Stderr, fmt.Sprintf("1 counted, %d bytes verified", len(newest))) {
			t.Errorf("it said:\n%s", got.Stderr)
		}
		// Without the trailer, which is no part of it.
		if got, err := os.ReadFile(filepath.Join(scratch, "restore", "dump")); err != nil || !bytes.Equal(got, newest) {
			t.Errorf("what was fetched is not what was stored: %v", err)
		}
	})
	t.Run("failure/steps-out-of-order", func(t *testing.T) {
		i.RestoreStep(t, ldapUnit, "fetch", harness.Options{ScratchDir: open(t)}).Fails(t, 64, "validate did not run")
		i.RestoreStep(t, ldapUnit, "verify", harness.Options{ScratchDir: open(t)}).Fails(t, 64, "validate did not run")
		scratch := open(t)
		i.RestoreStep(t, ldapUnit, "validate", harness.Options{ScratchDir: scratch}).OK(t)
		i.RestoreStep(t, ldapUnit, "verify", harness.Options{ScratchDir: scratch}).Fails(t, 64, "fetch did not run")
	})
	t.Run("failure/wrong-password", func(t *testing.T) {
		run(t, map[string]string{"RESTIC_PASSWORD": "not the password"}).Fails(t, 69, "the restic password does not open the repository")
	})
	t.Run("failure/no-repository", func(t *testing.T) {
		other := stored(t, s3.Restic("backup", "elsewhere"))
		fetched(t, other, open(t), nil).Fails(t, 69, "there is no repository at that place")
	})
	t.Run("failure/no-such-snapshot", func(t *testing.T) {
		run(t, map[string]string{"HOLDFAST_SNAPSHOT": "0000000000"}).Fails(t, 65, "0 snapshots match")
	})
	for name, value := range hostileValues {
		t.Run("failure/hostile-name/"+name, func(t *testing.T) {
			for _, variable := range []string{"HOLDFAST_SNAPSHOT", "HOLDFAST_SNAPSHOT_PATH", "HOLDFAST_SNAPSHOT_HOST", "HOLDFAST_TAG", "RESTIC_PASSWORD"} {
				r := run(t, map[string]string{variable: value})
				if r.Code == 0 || !strings.Contains(r.Stderr, "holdfast: "+ldapUnit+": ") {
					t.Errorf("%s: ended with %d:\n%s", variable, r.Code, r.Stderr)
				}
			}
		})
	}
	// Snapshots of others, newer than ours.
	id := func(t *testing.T, content []byte, stored, host string, tags ...string) string {
		t.Helper()
		file := filepath.Join(harness.Folder(t, 0), "content")
		if err := os.WriteFile(file, content, 0o644); err != nil {
			t.Fatal(err)
		}
		before := i.Restic(t, ldapUnit, "list", "snapshots")
		arguments := []string{"backup", "--quiet", "--stdin-filename", stored, "--host", host}
		for _, tag := range tags {
			arguments = append(arguments, "--tag", tag)
		}
		i.Restic(t, ldapUnit, append(arguments, "--stdin-from-command", "--", "/bin/cat", file)...)
		for _, line := range strings.Fields(i.Restic(t, ldapUnit, "list", "snapshots")) {
			if !strings.Contains(before, line) {
				return line
			}
		}
		t.Fatal("no snapshot was made")
		return ""
	}
	otherPath := id(t, []byte("other"), "/app-other.ldif", "app", item.Tags...)
	otherHost := id(t, []byte("other"), path, "elsewhere", item.Tags...)
	otherTag := id(t, []byte("other"), path, "app", "openldap/other")
	t.Run("restore/latest-among-others", func(t *testing.T) {
		r := fetched(t, i, open(t), nil).OK(t)
		if strings.Contains(r.Stderr, "5 bytes") {
			t.Errorf("another unit's snapshot was taken:\n%s", r.Stderr)
		}
	})
	for name, c := range map[string]struct{ id, word string }{
		"wrong-path": {otherPath, "its paths are"}, "wrong-host": {otherHost, "its host is elsewhere"}, "wrong-tag": {otherTag, "its tags are"},
	} {
		t.Run("failure/"+name, func(t *testing.T) {
			run(t, map[string]string{"HOLDFAST_SNAPSHOT": c.id}).Fails(t, 65, "the snapshot is not this unit's", c.word)
		})
	}
	t.Run("failure/several-match", func(t *testing.T) {
		run(t, map[string]string{"HOLDFAST_SNAPSHOT": otherPath[:3]}).Fails(t, 64, `neither "latest" nor a snapshot id`)
		// Ids with the same beginning are rare: a restic in front of restic makes one.
		scratch := open(t)
		script := "#!/bin/sh\n[ \"$1\" != version ] || exec /usr/local/bin/restic version\n" + `/usr/local/bin/restic "$@" | jq -c '. + [.[0] | .id = .id[0:8] + "ffff"]'` + "\n"
		if err := os.WriteFile(filepath.Join(scratch, "restic"), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
		var all []struct{ ID string }
		if err := json.Unmarshal([]byte(i.Restic(t, ldapUnit, "snapshots", "--json", "--no-lock")), &all); err != nil {
			t.Fatal(err)
		}
		fetched(t, i, scratch, map[string]string{"HOLDFAST_SNAPSHOT": all[0].ID[:8], "PATH": "/holdfast/scratch:/usr/local/bin:/usr/bin:/bin"}).Fails(t, 65, "2 snapshots match")
	})
	t.Run("failure/cut-dump", func(t *testing.T) {
		scratch := open(t)
		for _, step := range []string{"validate", "fetch"} {
			i.RestoreStep(t, ldapUnit, step, harness.Options{ScratchDir: scratch}).OK(t)
		}
		shorten(t, scratch)
		i.RestoreStep(t, ldapUnit, "verify", harness.Options{ScratchDir: scratch}).Fails(t, 65, "bytes were fetched, the snapshot has")
	})
	// K8up may store what it has when a stream breaks: it is no copy.
	t.Run("failure/cut-while-stored", func(t *testing.T) {
		cut := id(t, ldifDump[:len(ldifDump)-300], path, "app", item.Tags...)
		run(t, map[string]string{"HOLDFAST_SNAPSHOT": cut}).Fails(t, 65, "the copy was cut: it has no trailer at its end")
		changed := id(t, append([]byte("x"), ldifDump...), path, "app", item.Tags...)
		run(t, map[string]string{"HOLDFAST_SNAPSHOT": changed}).Fails(t, 65, "the copy was changed")
	})
	t.Run("failure/larger-than-scratch", func(t *testing.T) {
		large := id(t, trailed(append(bytes.Repeat([]byte("0123456789abcdef"), 1<<17), ldifText...)), path, "app", item.Tags...)
		o := harness.Options{ScratchDir: open(t), Env: map[string]string{"HOLDFAST_SNAPSHOT": large, "HOLDFAST_FILE_BYTES": "2000000"}}
		i.RestoreStep(t, ldapUnit, "validate", o).Fails(t, 73, "the scratch space takes 2000000: raise scratch")
	})
	// The latest is of a source that was half restored, or new.
	t.Run("failure/shrunk", func(t *testing.T) {
		small := id(t, trailed(ldifText), path, "app", item.Tags...)
		run(t, nil).Fails(t, 65, "the latest copy, "+small[:8], "less than half of ", "name the one to restore by its id")
		run(t, map[string]string{"HOLDFAST_SNAPSHOT": small}).OK(t)
		// Grown, not shrunk; and after a week the small one is what is usual.
		for range 7 {
			id(t, trailed(ldifText), path, "app", item.Tags...)
		}
		run(t, nil).OK(t)
	})
	t.Run("restore/losses-are-told", func(t *testing.T) {
		text := fmt.Sprintf("\n# holdfast: {\"unit\":\"openldap/directory\",\"count\":1,\"bytes\":%d,\"losses\":[{\"loss\":\"referral\",\"item\":\"ou=x\",\"why\":\"y\"}]}\n", len(ldifText))
		lossy := id(t, append(bytes.Clone(ldifText), text...), path, "app", item.Tags...)
		if r := run(t, map[string]string{"HOLDFAST_SNAPSHOT": lossy}).OK(t); !strings.Contains(r.Stderr, "accepted as a loss") || !strings.Contains(r.Stderr, "  referral\tou=x\ty\n") {
			t.Errorf("it does not say what is missing:\n%s", r.Stderr)
		}
	})
	t.Run("restore/before-there-were-losses", func(t *testing.T) {
		text := fmt.Sprintf("\n# holdfast: {\"unit\":\"openldap/directory\",\"count\":1,\"bytes\":%d}\n", len(ldifText))
		run(t, map[string]string{"HOLDFAST_SNAPSHOT": id(t, append(bytes.Clone(ldifText), text...), path, "app", item.Tags...)}).OK(t)
	})
	t.Run("failure/missing-marker", func(t *testing.T) {
		bad := id(t, trailed(bytes.Replace(ldifText, []byte("# holdfast: complete"), []byte("# holdfast: something"), 1)), path, "app", item.Tags...)
		run(t, map[string]string{"HOLDFAST_SNAPSHOT": bad}).Fails(t, 65, "lacks its marker")
	})
	t.Run("failure/too-small", func(t *testing.T) {
		bad := id(t, trailed([]byte("\n# holdfast: complete, 0 entries\n")), path, "app", item.Tags...)
		run(t, map[string]string{"HOLDFAST_SNAPSHOT": bad}).Fails(t, 65, "fewer than 1000")
	})
	t.Run("failure/disk-full", func(t *testing.T) {
		large := id(t, append(bytes.Repeat([]byte("0123456789abcdef"), 1<<17), ldifDump...), path, "app", item.Tags...)
		o := harness.Options{Scratch: "1Mi", Env: map[string]string{"HOLDFAST_SNAPSHOT": large}}
		i.Restore(t, ldapUnit, o).Fails(t, 73)
	})
	t.Run("failure/damaged", func(t *testing.T) {
		damage(t, s3.Dir+"/backup")
		if r := run(t, map[string]string{"HOLDFAST_DEADLINE": "30"}); r.Code == 0 {
			t.Errorf("a damaged repository passed:\n%s", r.Stderr)
		}
	})
}

package emit

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// save writes a file as an editor does: beside, and then over the old one.
func save(t *testing.T, dir, name, content string) {
	t.Helper()
	put(t, dir, name+"~", content)
	if err := os.Rename(filepath.Join(dir, name+"~"), filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

// meddle does in the tree all that others may do while it is written.
func meddle(t *testing.T, dir string) {
	t.Helper()
	put(t, dir, "a/new.txt", "made new")
	put(t, dir, "a/new/deep/er.txt", "made deep")
	save(t, dir, "a/mine/README.txt", "saved by an editor")
	put(t, dir, "a/apps/mine.yaml", "edited in place")
	put(t, dir, "a/apps/added.yaml", "where one of ours comes")
	put(t, dir, "a/more", "where a folder of ours comes")
	save(t, dir, "a/apps/changed.yaml", "ours, that changes")
	save(t, dir, "a/apps/same.yaml", "ours, that stays")
	save(t, dir, "a/apps/gone.yaml", "ours, that goes")
	save(t, dir, "a/secret.yaml", "ours, secret")
}

// stagedLeft are the names in dir that only a run that is not done may leave.
func stagedLeft(t *testing.T, dir string) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, ".*.holdfast-[0-9]*"))
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestWriteTreeKeepsWhatOthersDoMeanwhile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	oldTree(t, dir)
	var notes []string
	o := TreeOptions{AllowShrink: true, testOnlyNoSync: true, Note: func(text string) { notes = append(notes, text) }}
	o.testOnlyStep = func(step string) error {
		switch step {
		case "swap a":
			meddle(t, dir)
			save(t, dir, "b/x.yaml", "new\n") // what the run writes: nothing to keep
		case "done": // from here on nothing is taken back
			if got := contents(t, dir)["a/new.txt"]; got != "made new" {
				t.Errorf("a/new.txt is %q before the old folder is removed", got)
			}
		}
		return nil
	}
	mustWrite(t, dir, newBundle(), o)
	want := newContents()
	maps.Copy(want, map[string]string{
		"a/new.txt": "made new", "a/new/deep/er.txt": "made deep", "a/mine/README.txt": "saved by an editor", "a/apps/mine.yaml": "edited in place",
		"a/apps/added.yaml.holdfast-kept":   "where one of ours comes",
		"a/more.holdfast-kept":              "where a folder of ours comes",
		"a/apps/changed.yaml.holdfast-kept": "ours, that changes",
		"a/apps/same.yaml.holdfast-kept":    "ours, that stays",
		"a/apps/gone.yaml":                  "ours, that goes",
		"a/secret.yaml.holdfast-kept":       "ours, secret",
	})
	sameMaps(t, "tree", contents(t, dir), want)
	if len(notes) != 5 {
		t.Errorf("notes %q, want one for each of the 5 that could not keep its name", notes)
	}
	wantNote := "a/apps/added.yaml was made or changed by somebody else while the tree was written: that version is kept as a/apps/added.yaml.holdfast-kept"
	if !slices.Contains(notes, wantNote) {
		t.Errorf("notes %q, want %q", notes, wantNote)
	}
	notes = nil
	if again := mustWrite(t, dir, newBundle(), o); len(again) > 0 || len(notes) > 0 {
		t.Errorf("a second run changes %v and says %q", again, notes)
	}
}

// TestWriteTreeKeepsAtEveryStep: others work in the tree at one step, and the run
// fails or is killed at a later one. After the next run all is there.
func TestWriteTreeKeepsAtEveryStep(t *testing.T) {
	t.Parallel()
	killed := errors.New("killed")
	try := func(t *testing.T, perFile, kill bool, meddleAt string, failAt int) (trace []string) {
		dir := t.TempDir()
		mustWrite(t, dir, bundle("a/x.yaml", "old", "a/gone.yaml", "old", "b/x.yaml", "old"), TreeOptions{testOnlyNoSync: true})
		put(t, dir, "a/saved", "before")
		put(t, dir, "a/edited", "before")
		b := bundle("a/x.yaml", "new", "b/x.yaml", "new", "c/x.yaml", "new")
		after := -1 // steps since others were there
		func() {
			defer func() {
				if reason := recover(); reason != nil && reason != killed {
					panic(reason)
				}
			}()
			_, _ = WriteTree(t.Context(), dir, b, TreeOptions{testOnlyNoSync: true, testOnlyPerFile: perFile, testOnlyStep: func(step string) error {
				switch {
				case after >= 0:
					trace = append(trace, step)
					after++
				case step == meddleAt:
					after = 0
					put(t, dir, "a/made", "made")
					put(t, dir, "a/deep/er/made", "made deep")
					save(t, dir, "a/saved", "saved")
					put(t, dir, "a/edited", "edited")
				}
				switch {
				case after != failAt:
					return nil
				case kill:
					panic(killed)
				}
				return killed
			}})
		}()
		if after < 0 {
			t.Fatalf("there is no step %q", meddleAt)
		}
		mustWrite(t, dir, b, TreeOptions{testOnlyNoSync: true, testOnlyPerFile: perFile})
		at := fmt.Sprintf("others at %q, failed after %q", meddleAt, trace)
		got := contents(t, dir)
		for name, content := range map[string]string{"a/made": "made", "a/deep/er/made": "made deep", "a/saved": "saved", "a/edited": "edited", "a/x.yaml": "new"} {
			if got[name] != content {
				t.Fatalf("%s is %q, want %q: %s", name, got[name], content, at)
			}
		}
		for _, top := range []string{"a", "b", "c"} {
			delete(got, top+"/"+InventoryName)
			delete(got, top+"/x.yaml")
		}
		if len(got) != 4 {
			t.Fatalf("too much is there: %v: %s", got, at)
		}
		return trace
	}
	for _, perFile := range []bool{false, true} {
		for _, kill := range []bool{false, true} {
			for _, meddleAt := range []string{"swap a", "swap b", "done"} {
				t.Run(fmt.Sprintf("perFile=%v,kill=%v,%s", perFile, kill, meddleAt), func(t *testing.T) {
					all := try(t, perFile, kill, meddleAt, 1000)
					for failAt := 1; failAt <= len(all); failAt++ {
						try(t, perFile, kill, meddleAt, failAt)
					}
				})
			}
		}
	}
}

// TestWriteTreeKeepsWhatIsMovedAway: an editor renames what it just wrote, at
// the moment when this run wants to move that file, forward or back.
func TestWriteTreeKeepsWhatIsMovedAway(t *testing.T) {
	t.Parallel()
	failed := errors.New("failed")
	for name, fails := range map[string]bool{"forward": false, "back": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			mustWrite(t, dir, bundle("a/x.yaml", "old", "a/deep/y.yaml", "old", "b/x.yaml", "old"), TreeOptions{testOnlyNoSync: true})
			o := TreeOptions{testOnlyNoSync: true}
			moved := false
			o.testOnlyStep = func(step string) error {
				switch step {
				case "swap a":
					put(t, dir, "a/deep/note~", "mine")
				case "rescue a/deep/note~":
					if fails || moved {
						return nil
					}
					moved = true
					old := stagedLeft(t, dir)[0] + "/tree/deep/note"
					if err := os.Rename(old+"~", old); err != nil {
						t.Error(err)
					}
				case "done":
					if fails {
						moved = true
						at := filepath.Join(dir, "a/deep/note")
						if err := os.Rename(at+"~", at); err != nil {
							t.Error(err)
						}
						return failed
					}
				}
				return nil
			}
			_, err := WriteTree(t.Context(), dir, bundle("a/x.yaml", "new", "a/deep/y.yaml", "new", "b/x.yaml", "new"), o)
			if fails != errors.Is(err, failed) || !fails && err != nil || !moved {
				t.Fatalf("moved: %v, error: %v", moved, err)
			}
			got := contents(t, dir)
			delete(got, "a/"+InventoryName)
			delete(got, "b/"+InventoryName)
			is := map[bool]string{false: "new", true: "old"}[fails]
			sameMaps(t, "tree", got, map[string]string{"a/x.yaml": is, "a/deep/y.yaml": is, "b/x.yaml": is, "a/deep/note": "mine"})
			if left := stagedLeft(t, dir); len(left) > 0 {
				t.Errorf("left %q", left)
			}
		})
	}
}

// TestWriteTreeBesideAWriter: somebody makes and saves files as fast as can be
// while a tree is written many times, and works also in a folder that was
// exchanged meanwhile.
func TestWriteTreeBesideAWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustWrite(t, dir, bundle("a/x.yaml", "0", "a/deep/y.yaml", "0"), TreeOptions{testOnlyNoSync: true})
	put(t, dir, "a/deep/note", "first")
	stop, made := make(chan struct{}), make(chan int)
	last := 0
	go func() {
		n := 0
		defer func() { made <- n }()
		inside, err := os.OpenRoot(filepath.Join(dir, "a/deep"))
		for {
			select {
			case <-stop:
				return
			default:
			}
			// A root stays in its folder, also when that was exchanged.
			if err != nil || inside.WriteFile(fmt.Sprintf("f%06d", n), []byte("mine"), 0o644) != nil {
				if inside != nil {
					_ = inside.Close()
				}
				inside, err = os.OpenRoot(filepath.Join(dir, "a/deep")) // that one was removed
				continue
			}
			n++
			if inside.WriteFile("note~", fmt.Append(nil, n), 0o644) == nil && inside.Rename("note~", "note") == nil {
				last = n
			}
			if n%20 == 0 { // on to the new folder
				_ = inside.Close()
				inside, err = os.OpenRoot(filepath.Join(dir, "a/deep"))
			}
		}
	}()
	end := sync.OnceValue(func() int { close(stop); return <-made })
	defer end()
	const renders = 40
	for i := range renders {
		mustWrite(t, dir, bundle("a/x.yaml", fmt.Sprint("v", i), "a/deep/y.yaml", fmt.Sprint("v", i)), TreeOptions{testOnlyNoSync: true})
	}
	n := end()
	if n < renders {
		t.Errorf("only %d files beside %d renders", n, renders)
	}
	found, notes, newest := 0, []string{}, 0
	for name, content := range contents(t, dir) {
		base := filepath.Base(name)
		switch {
		case content == "mine":
			found++
		case strings.HasPrefix(base, "note"):
			notes = append(notes, content)
			number, _ := strconv.Atoi(content) // 0: none
			newest = max(newest, number)
		}
	}
	if found != n {
		t.Errorf("%d of %d files are there", found, n)
	}
	// Newer is right as well: what the writer saved last may be the same file, by
	// another name, as the one that it then began to write anew.
	if newest < last {
		t.Errorf("note %d is lost; there are %q", last, notes)
	}
	if left := stagedLeft(t, dir); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// TestWriteTreeKilledBySignal kills real runs at random moments. What they leave
// is seen by nobody else, and gone after the next run that comes to its end.
func TestWriteTreeKilledBySignal(t *testing.T) {
	t.Parallel()
	const variable = "HOLDFAST_TEST_WRITE_UNTIL_KILLED" // into the working folder
	if os.Getenv(variable) != "" {
		_, _ = os.Stdout.WriteString("ready\n")
		for i := range 10_000 { // should nobody be left to kill it
			b := bundle("a/x.yaml", fmt.Sprint(i), "a/secret.yaml", fmt.Sprint("hunter", i), "a/deep/secret.yaml", fmt.Sprint("hunter", i), "gone/secret.yaml", fmt.Sprint("hunter", i))
			if _, err := WriteTree(t.Context(), ".", b, TreeOptions{testOnlyNoSync: true}); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	dir := t.TempDir()
	put(t, dir, "a/mine", "mine")
	left := 0
	for round := 0; round < 40 || left < 10 && round < 400; round++ {
		cmd := exec.Command(self, "-test.run=^TestWriteTreeKilledBySignal$")
		cmd.Dir, cmd.Env = dir, append(os.Environ(), variable+"=yes")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(r.IntN(3000)) * time.Microsecond)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		for _, stage := range stagedLeft(t, dir) {
			left++
			if info, err := os.Lstat(stage); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%v, %v: others may look into it", info, err)
			}
		}
		// The next run has one instance less.
		mustWrite(t, dir, bundle("a/x.yaml", "x", "a/secret.yaml", "s", "a/deep/secret.yaml", "s"), TreeOptions{testOnlyNoSync: true})
		if still := stagedLeft(t, dir); len(still) > 0 {
			t.Fatalf("left %q", still)
		}
		if got := contents(t, dir)["a/mine"]; got != "mine" {
			t.Fatalf("a/mine is %q", got)
		}
	}
	if left < 10 {
		t.Errorf("only %d stages were left to be removed", left)
	}
}

// TestKeepNames: what was kept once is not overwritten by what is kept later.
func TestKeepNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 3 {
		mustWrite(t, dir, bundle("a/x.yaml", fmt.Sprint(i)), TreeOptions{testOnlyNoSync: true, testOnlyStep: func(step string) error {
			if step == "swap a" && i > 0 {
				save(t, dir, "a/x.yaml", fmt.Sprint("mine ", i))
			}
			return nil
		}})
	}
	got := contents(t, dir)
	if got["a/x.yaml.holdfast-kept"] != "mine 1" || got["a/x.yaml.holdfast-kept-2"] != "mine 2" {
		t.Errorf("tree %v", got)
	}
}

// TestSweepFollowsNoLink: what a killed run left is not moved through a link that
// somebody put in the tree's place.
func TestSweepFollowsNoLink(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	dir := filepath.Join(root, "tree")
	put(t, root, "victim/x", "x")
	put(t, dir, ".a.holdfast-1/"+stageMarker, markerText)
	put(t, dir, ".a.holdfast-1/"+stageRecords, `{"identity":1}`)
	put(t, dir, ".a.holdfast-1/tree/planted", "mine")
	private(t, dir, ".a.holdfast-1")
	if err := os.Symlink("../victim", filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	var notes []string
	mustWrite(t, dir, bundle("b/x.yaml", "x"), TreeOptions{testOnlyNoSync: true, Note: func(text string) { notes = append(notes, text) }})
	if len(notes) != 1 || !strings.Contains(notes[0], ".a.holdfast-1 looks like what an earlier run left and stays") {
		t.Errorf("notes %q", notes)
	}
	sameMaps(t, "victim", contents(t, filepath.Join(root, "victim")), map[string]string{"x": "x"})
	if !bytes.Equal([]byte("mine"), []byte(contents(t, dir)[".a.holdfast-1/tree/planted"])) {
		t.Error("the file is lost")
	}
	if got := contents(t, dir)["b/x.yaml"]; got != "x" {
		t.Errorf("the other instance is %q", got)
	}
}

// TestSweepGoesOn: a rest that cannot be removed stops only the run that writes
// the same folder, which changes nothing then. Others are removed.
func TestSweepGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, top := range []string{"a", "b", "c"} {
		put(t, dir, "."+top+".holdfast-1/"+stageMarker, markerText)
		private(t, dir, "."+top+".holdfast-1")
	}
	var notes []string
	o := TreeOptions{testOnlyNoSync: true, Note: func(text string) { notes = append(notes, text) }, testOnlyStep: func(step string) error {
		if step == "clear b "+stageRecords || step == "stage d" {
			return errors.New("no luck")
		}
		return nil
	}}
	before := contents(t, dir)
	_, err := WriteTree(t.Context(), dir, bundle("a/x.yaml", "x", "b/x.yaml", "x"), o)
	if err == nil || !strings.Contains(err.Error(), "removing what an earlier run left: no luck") {
		t.Errorf("error %v", err)
	}
	delete(before, ".a.holdfast-1/"+stageMarker)
	sameMaps(t, "the same folder", contents(t, dir), before)
	// What was noted stays true when the run fails afterwards.
	_, err = WriteTree(t.Context(), dir, bundle("a/x.yaml", "x", "d/x.yaml", "x"), o)
	if err == nil || len(notes) != 1 || !strings.Contains(notes[0], ".b.holdfast-1 looks like what an earlier run left and stays") || !strings.Contains(notes[0], "no luck") {
		t.Errorf("error %v, notes %q", err, notes)
	}
	mustWrite(t, dir, bundle("a/x.yaml", "x"), o)
	sameMaps(t, "tree", contents(t, dir), map[string]string{
		"a/x.yaml": "x", "a/" + InventoryName: string(inventory([]string{"x.yaml"})), ".b.holdfast-1/" + stageMarker: markerText,
	})
}

// TestKeepLongNames: what cannot keep a long name gets one that fits.
func TestKeepLongNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := "deep/" + strings.Repeat("x", 240) + "ééé.yaml" // 251 bytes
	for i := range 3 {
		mustWrite(t, dir, bundle("a/"+name, fmt.Sprint(i)), TreeOptions{testOnlyNoSync: true, testOnlyStep: func(step string) error {
			if step == "swap a" && i > 0 {
				put(t, dir, "saved", fmt.Sprint("mine ", i))
				return os.Rename(filepath.Join(dir, "saved"), filepath.Join(dir, "a", name))
			}
			return nil
		}})
	}
	got := contents(t, dir)
	for kept, want := range map[string]string{name: "2", "deep/" + strings.Repeat("x", 240) + keptSuffix: "mine 1", "deep/" + strings.Repeat("x", 239) + keptSuffix + "-2": "mine 2"} {
		if got["a/"+kept] != want {
			t.Errorf("%s is %q, want %q", kept, got["a/"+kept], want)
		}
	}
}

// TestSweepTrustsNoRecords: a stage whose records name what no run of ours would
// is left alone, and the user hears of it once.
func TestSweepTrustsNoRecords(t *testing.T) {
	t.Parallel()
	for name, key := range map[string]string{
		"above": "../../victim/profile.sh", "above in the middle": "b/../../../victim/profile.sh", "absolute": "/victim/profile.sh", "the folder above": "../", "empty": "",
	} {
		for _, in := range []string{"before", "staged"} {
			t.Run(name+" "+in, func(t *testing.T) {
				root := t.TempDir()
				dir := filepath.Join(root, "tree")
				put(t, root, "victim/other", "x")
				put(t, dir, ".x.holdfast-1/"+stageMarker, markerText)
				put(t, dir, ".x.holdfast-1/"+stageTaken, "pwned")
				if err := os.Mkdir(filepath.Join(dir, ".x.holdfast-1/tree"), 0o700); err != nil {
					t.Fatal(err)
				}
				taken, err := os.Lstat(filepath.Join(dir, ".x.holdfast-1", stageTaken))
				if err != nil {
					t.Fatal(err)
				}
				put(t, dir, ".x.holdfast-1/"+stageRecords, fmt.Sprintf(`{"identity":1,%q:{%q:{"id":%d,"size":1,"time":1}}}`, in, key, identityOf(taken)))
				private(t, dir, ".x.holdfast-1")
				before := contents(t, dir)
				var notes []string
				mustWrite(t, dir, bundle("b/x.yaml", "x"), TreeOptions{testOnlyNoSync: true, Note: func(text string) { notes = append(notes, text) }})
				sameMaps(t, "victim", contents(t, filepath.Join(root, "victim")), map[string]string{"other": "x"})
				sameMaps(t, "stage", below(contents(t, dir), "."), before)
				if len(notes) != 1 || !strings.Contains(notes[0], ".x.holdfast-1 looks like") || !strings.Contains(notes[0], "outside of the folder") {
					t.Errorf("notes %q", notes)
				}
			})
		}
	}
}

// TestSweepReadsRecordsThatAreFiles: neither a link to what has no end nor more
// than there can be is read.
func TestSweepReadsRecordsThatAreFiles(t *testing.T) {
	t.Parallel()
	for name, make := range map[string]func(at string) error{
		"link":   func(at string) error { return os.Symlink("/dev/zero", at) },
		"folder": func(at string) error { return os.Mkdir(at, 0o700) },
		"huge": func(at string) error {
			return errors.Join(os.WriteFile(at, nil, 0o600), os.Truncate(at, maxRecords+1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, ".x.holdfast-1/"+stageMarker, markerText)
			if err := make(filepath.Join(dir, ".x.holdfast-1", stageRecords)); err != nil {
				t.Fatal(err)
			}
			private(t, dir, ".x.holdfast-1")
			var notes []string
			mustWrite(t, dir, bundle("b/x.yaml", "x"), TreeOptions{testOnlyNoSync: true, Note: func(text string) { notes = append(notes, text) }})
			if len(notes) != 1 || !strings.Contains(notes[0], stageRecords) {
				t.Errorf("notes %q", notes)
			}
			if _, err := os.Lstat(filepath.Join(dir, ".x.holdfast-1", stageMarker)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestNoSweep: what a fresh checkout brought is no rest of a killed run.
func TestNoSweep(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, ".a.holdfast-1/"+stageMarker, markerText)
	put(t, dir, ".a.holdfast-1/tree/x", "committed")
	private(t, dir, ".a.holdfast-1")
	mustWrite(t, dir, bundle("a/x.yaml", "x"), TreeOptions{NoSweep: true, testOnlyNoSync: true})
	if got := contents(t, dir)[".a.holdfast-1/tree/x"]; got != "committed" {
		t.Errorf("the file is %q", got)
	}
}

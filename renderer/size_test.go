package renderer_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/holdfast-backup/holdfast/renderer/kind"
	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/secrets"
)

// TestScratch: how large scratch is, where it lies, and whether the scheduler keeps
// it free, as the pods say it.
func TestScratch(t *testing.T) {
	t.Parallel()
	const database, node, directory, claim = "postgresql/xwiki", "cassandra/dovecot-0", "openldap/directory", "volume/postfix"
	type says struct{ dump, restore, asked, class string }
	for _, test := range []struct {
		name     string
		settings map[string]any
		want     map[string]says // by unit
		deadline int             // of the database
	}{
		{name: "by default nothing is asked for", deadline: 3600, want: map[string]says{
			database: {dump: "256Mi", restore: "10Gi"}, directory: {dump: "2Gi", restore: "2Gi"}, node: {dump: "256Mi", restore: "20Gi"}, claim: {restore: "1Gi"},
		}},
		{name: "the size says it", deadline: 10800, settings: map[string]any{
			"sizes": map[string]any{
				database: map[string]any{"bytes": "48Gi", "monthlyGrowth": "2Gi"}, directory: map[string]any{"bytes": "1Gi"}, node: map[string]any{"bytes": "50Gi"},
			},
		}, want: map[string]says{
			database: {dump: "256Mi", restore: "56Gi", asked: "56Gi"}, directory: {dump: "4Gi", restore: "4Gi", asked: "4Gi"}, node: {dump: "256Mi", restore: "56Gi", asked: "56Gi"}, claim: {restore: "1Gi"},
		}},
		{name: "the settings say it", deadline: 3600, settings: map[string]any{
			"scratch": map[string]any{database: "40Gi", directory: "7Gi", "volume": "3Gi"},
		}, want: map[string]says{
			database: {dump: "256Mi", restore: "40Gi", asked: "40Gi"}, directory: {dump: "7Gi", restore: "7Gi", asked: "7Gi"}, node: {dump: "256Mi", restore: "20Gi"}, claim: {restore: "3Gi", asked: "3Gi"},
		}},
		{name: "a class is no disk of the node, but never beside a claim", deadline: 3600, settings: map[string]any{
			"scratchStorageClass": "fast", "scratch": map[string]any{database: "40Gi", "volume": "3Gi"},
		}, want: map[string]says{
			database: {dump: "256Mi", restore: "40Gi", class: "fast"}, directory: {dump: "2Gi", restore: "2Gi", class: "fast"}, node: {dump: "256Mi", restore: "20Gi", class: "fast"}, claim: {restore: "3Gi", asked: "3Gi"},
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			in := example(t, "layout-a")
			in.States[0] = rewritten(t, in.States[0], func(root map[string]any) {
				for key, value := range test.settings {
					backup, _ := root["backup"].(map[string]any)
					if backup == nil {
						backup = map[string]any{}
						root["backup"] = backup
					}
					backup[key] = value
				}
			})
			x := render(t, built(t), in, secrets.SOPS)
			for id, want := range test.want {
				units := x.planned[0].Plan.Units
				unit := units[slices.IndexFunc(units, func(i plan.Item) bool { return i.ID == id })]
				if id == database && unit.DeadlineSeconds != test.deadline {
					t.Errorf("%s: a deadline of %d s, want %d", id, unit.DeadlineSeconds, test.deadline)
				}
				if free := unit.DumpBytes == 0 && unit.RestoreBytes == 0; free != (id == claim) {
					t.Errorf("%s: the largest files are %d and %d bytes", id, unit.DumpBytes, unit.RestoreBytes)
				}
				restore := x.field(t, "Job", unit.Restore, "spec", "template", "spec")
				check := func(what string, pod map[string]any, size string) {
					got := says{restore: want.restore, dump: want.dump}
					volumes := pod["volumes"].([]any)
					scratch := volumes[slices.IndexFunc(volumes, func(v any) bool { return dig(v, "name") == "scratch" })]
					limit, _ := dig(scratch, "emptyDir", "sizeLimit").(string)
					claimed := dig(scratch, "ephemeral", "volumeClaimTemplate", "spec")
					if claimed != nil {
						got.class, _ = dig(claimed, "storageClassName").(string)
						limit, _ = dig(claimed, "resources", "requests", "storage").(string)
					}
					got.asked, _ = dig(pod["containers"].([]any)[0], "resources", "requests", "ephemeral-storage").(string)
					wanted := want
					if want.asked != "" {
						wanted.asked = size
					}
					if got != wanted || limit != size {
						t.Errorf("%s %s: %+v of %s, want %+v of %s", id, what, got, limit, wanted, size)
					}
					if grouped := dig(pod, "securityContext", "fsGroup") != nil; grouped != (want.class != "") {
						t.Errorf("%s %s: an fsGroup: %t", id, what, grouped)
					}
				}
				check("restore", restore, want.restore)
				if want.dump != "" {
					check("dump", x.field(t, "PreBackupPod", unit.Name, "spec", "pod", "spec"), want.dump)
				}
			}
		})
	}
}

// TestRestoreTimes: the commands of a restore have nearly the Job's time, not the
// dump's, and its lock outlives a few minutes without an API server.
func TestRestoreTimes(t *testing.T) {
	t.Parallel()
	x := render(t, built(t), example(t, "layout-a"), secrets.SOPS)
	for _, unit := range x.planned[0].Plan.Units {
		if unit.Restore == "" {
			continue
		}
		data := x.field(t, "ConfigMap", unit.Restore, "data")
		want := map[string]any{
			"HOLDFAST_DEADLINE": strconv.Itoa(unit.RestoreDeadline - unit.DeadlineSeconds), "HOLDFAST_LOCK_TTL": "900",
			"HOLDFAST_WAIT_FOR_DUMPS": strconv.Itoa(unit.DeadlineSeconds),
		}
		if unit.Engine != kind.Restic {
			want["HOLDFAST_WAIT_FOR_DUMPS"] = "0"
		}
		for name, value := range want {
			if data[name] != value {
				t.Errorf("%s: %s is %v, want %v", unit.ID, name, data[name], value)
			}
		}
		if job := x.field(t, "Job", unit.Restore, "spec"); fmt.Sprint(job["activeDeadlineSeconds"]) != strconv.Itoa(unit.RestoreDeadline) {
			t.Errorf("%s: the Job's deadline is %v, want %d", unit.ID, job["activeDeadlineSeconds"], unit.RestoreDeadline)
		}
		if how := unit.Capture.How; how != "dump" && how != "exec" {
			continue
		}
		data = x.field(t, "ConfigMap", unit.Name, "data")
		if data["HOLDFAST_DEADLINE"] != strconv.Itoa(unit.DeadlineSeconds) {
			t.Errorf("%s: a dump's command may take %v s, want %d", unit.ID, data["HOLDFAST_DEADLINE"], unit.DeadlineSeconds)
		}
		// What is streamed has its restore's limit; all else has one of its own.
		limit, streamed := data["HOLDFAST_RESTORE_BYTES"]
		if streamed != slices.Contains([]string{"cassandra", "mariadb", "postgresql"}, unit.Kind) || (streamed && limit != strconv.FormatInt(unit.RestoreBytes, 10)) {
			t.Errorf("%s: a restore takes %v bytes, want %d", unit.ID, limit, unit.RestoreBytes)
		}
	}
}

// field is an object below a field of an object.
func (x rendered) field(t *testing.T, of, name string, path ...string) map[string]any {
	t.Helper()
	for _, o := range x.objects {
		if o.Kind() == of && dig(o.Value, "metadata", "name") == name {
			value, _ := dig(o.Value, path...).(map[string]any)
			return value
		}
	}
	t.Fatalf("there is no %s %s", of, name)
	return nil
}

// TestWindow: a copy that outgrows the window is refused (golden/errors/HF163), but
// not where somebody has set its time.
func TestWindow(t *testing.T) {
	t.Parallel()
	in := example(t, "minimal")
	in.States[0] = rewritten(t, in.States[0], func(root map[string]any) {
		backup, _ := root["backup"].(map[string]any)
		backup["window"] = map[string]any{"start": "01:00", "end": "02:00"}
		backup["sizes"] = map[string]any{"postgresql/shop": map[string]any{"bytes": "100Gi"}}
		backup["schedules"] = map[string]any{"postgresql/shop": "30 22 * * *"}
	})
	render(t, built(t), in, secrets.SOPS)
}

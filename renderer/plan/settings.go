package plan

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// Names of the documents in Decisions. The files may have other names: with those,
// plan.json would depend on where a run happens.
const (
	StateDocument       = "runtime-state.json"
	PolicyDocument      = "policy.json"
	CredentialsDocument = "backup-credentials.json"
)

// builtin is where a value comes from that nobody set.
const builtin = "built-in"

// settings answers what a user asked for. The most specific place wins: the
// unit's id before its kind's name before a default; where two documents name
// the same, the state's backup block wins over the policy.
type settings struct {
	levels []level
}

// level is one document's settings, the strongest first.
type level struct {
	name string
	// base is the pointer to the settings in tree.
	base     string
	tree     *input.Tree
	settings *input.Settings
}

// from says where a value stands.
func (l level) from(path string) string { return l.name + " " + l.base + "/" + path }

func newSettings(inst input.Instance) settings {
	var s settings
	if inst.State.Backup != nil {
		s.levels = append(s.levels, level{name: StateDocument, base: "/backup", tree: inst.State.Tree, settings: inst.State.Backup})
	}
	if inst.Policy != nil {
		s.levels = append(s.levels, level{name: PolicyDocument, tree: inst.Policy.Tree, settings: &inst.Policy.Settings})
	}
	return s
}

// lookup finds the entry for one of keys, the first key first, in a map that
// pick takes from each level. It says where it was.
func lookup[V any](s settings, section string, pick func(*input.Settings) map[string]V, keys ...string) (V, string, bool) {
	for _, key := range keys {
		for _, l := range s.levels {
			if value, ok := pick(l.settings)[key]; ok {
				return value, l.from(section + "/" + escape(key)), true
			}
		}
	}
	var none V
	return none, builtin, false
}

// escape writes a key as part of a JSON pointer.
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

func (s settings) timezone() string {
	for _, l := range s.levels {
		if l.settings.Timezone != "" {
			return l.settings.Timezone
		}
	}
	return "UTC"
}

func (s settings) window() input.Window {
	for _, l := range s.levels {
		if w := l.settings.Window; w != nil {
			return *w
		}
	}
	return input.Window{Start: "01:00", End: "05:00"}
}

func (s settings) retention(id string, k kind.Kind) (input.Retention, string) {
	overrides := func(l *input.Settings) map[string]input.Retention { return l.Retention.Overrides }
	if r, from, ok := lookup(s, "retention/overrides", overrides, id, k.Name); ok {
		return r, from
	}
	if k.Retention != nil {
		return *k.Retention, builtin + ": kind " + k.Name
	}
	for _, l := range s.levels {
		if keep := l.settings.Retention.Default; keep != nil {
			return *keep, l.from("retention/default")
		}
	}
	return builtinRetention(), builtin
}

func (s settings) cron(keys ...string) (string, string, bool) {
	return lookup(s, "schedules", func(l *input.Settings) map[string]string { return l.Schedules }, keys...)
}

func (s settings) image(owner, name, preset string) (string, string) {
	images := func(l *input.Settings) map[string]string { return l.Images }
	if reference, from, ok := lookup(s, "images", images, owner+"/"+name); ok {
		return reference, from
	}
	return preset, builtin
}

func (s settings) deadline(preset int, keys ...string) (int, string) {
	if v, from, ok := lookup(s, "deadlines", func(l *input.Settings) map[string]int64 { return l.Deadlines }, keys...); ok {
		return int(v), from
	}
	return preset, builtin
}

func (s settings) scratch(preset string, keys ...string) (string, string) {
	if v, from, ok := lookup(s, "scratch", func(l *input.Settings) map[string]string { return l.Scratch }, keys...); ok {
		return v, from
	}
	return preset, builtin
}

// size is how large a unit's copy will be in a month, in bytes, 0 if nobody said it.
func (s settings) size(id string) (int64, string) {
	size, from, _ := lookup(s, "sizes", func(l *input.Settings) map[string]input.Size { return l.Sizes }, id)
	return min(bytesOf(size.Bytes), most) + min(bytesOf(size.MonthlyGrowth), most), from // HF162 refuses more
}

func (s settings) scratchClass() string {
	for _, l := range s.levels {
		if l.settings.ScratchClass != "" {
			return l.settings.ScratchClass
		}
	}
	return ""
}

// losses are those that are accepted of a unit.
func (s settings) losses(keys ...string) ([]input.Loss, string) {
	list, from, _ := lookup(s, "losses", func(l *input.Settings) map[string][]input.Loss { return l.Losses }, keys...)
	return list, from
}

func (s settings) resources(preset input.Resources, keys ...string) (input.Resources, string) {
	pick := func(l *input.Settings) map[string]input.Resources { return l.Resources }
	if v, from, ok := lookup(s, "resources", pick, keys...); ok {
		return v, from
	}
	return preset, builtin
}

// requireDigest says whether images must be pinned by digest.
func (s settings) requireDigest() bool {
	for _, l := range s.levels {
		if asked := l.settings.RequireDigest; asked != nil {
			return *asked
		}
	}
	return false
}

// maintenance is the cron line of a check or prune. A user's own line for prune
// is moved by apart minutes for each further tier, so that no two meet.
func (s settings) maintenance(job Job, preset string, number int) string {
	for _, l := range s.levels {
		m := l.settings.Maintenance
		line := m.Check
		if job == JobPrune {
			line = later(m.Prune, number*maintenanceDistance)
		}
		if line != "" {
			return line
		}
	}
	return preset
}

// later moves a cron line of one fixed minute and hour; others stay as they are.
func later(line string, minutes int) string {
	fields := strings.Fields(line)
	if len(fields) != 5 || minutes == 0 {
		return line
	}
	minute, err := strconv.Atoi(fields[0])
	if err != nil {
		return line
	}
	hour, err := strconv.Atoi(fields[1])
	if err != nil {
		return line
	}
	at := hour*60 + minute + minutes
	if at >= day {
		return line
	}
	fields[0], fields[1] = strconv.Itoa(at%60), strconv.Itoa(at/60)
	return strings.Join(fields, " ")
}

// transfer adds to an rclone unit's values how it copies.
func (s settings) transfer(i *Item) {
	t := input.Transfer{Transfers: 4, Checkers: 8, MaxDeletePercent: 25, HistoryDays: historyDays(i.Retention)}
	for n := len(s.levels) - 1; n >= 0; n-- {
		set := s.levels[n].settings.Transfer
		t.Bandwidth = cmp.Or(set.Bandwidth, t.Bandwidth)
		t.Transfers = cmp.Or(set.Transfers, t.Transfers)
		t.Checkers = cmp.Or(set.Checkers, t.Checkers)
		t.MaxDeletePercent = cmp.Or(set.MaxDeletePercent, t.MaxDeletePercent)
		t.HistoryDays = cmp.Or(set.HistoryDays, t.HistoryDays)
	}
	i.Values["BANDWIDTH"] = t.Bandwidth
	i.Values["CHECKERS"] = strconv.Itoa(t.Checkers)
	i.Values["HISTORY_DAYS"] = strconv.Itoa(t.HistoryDays)
	i.Values["MAX_DELETE_PERCENT"] = strconv.Itoa(t.MaxDeletePercent)
	i.Values["TRANSFERS"] = strconv.Itoa(t.Transfers)
}

// external is the store of the External Secrets Operator, nil without one.
func (s settings) external() *External {
	e := &External{RefreshInterval: "1h"}
	for n := len(s.levels) - 1; n >= 0; n-- {
		set := s.levels[n].settings.External
		if set == nil {
			continue
		}
		e.RefreshInterval = cmp.Or(set.RefreshInterval, e.RefreshInterval)
		if set.Store != nil {
			e.StoreKind, e.StoreName = set.Store.Kind, set.Store.Name
		}
	}
	if e.StoreName == "" {
		return nil
	}
	return e
}

// remote is where that store has a field of the credentials, nil if nobody says
// it.
func (s settings) remote(field, instance string) *input.Remote {
	fields := func(l *input.Settings) map[string]input.Remote {
		if l.External == nil {
			return nil
		}
		return l.External.Fields
	}
	r, _, ok := lookup(s, "externalSecrets/fields", fields, field)
	if !ok {
		return nil
	}
	return &input.Remote{Key: strings.ReplaceAll(r.Key, "{instance}", instance), Property: r.Property}
}

// TreePath returns the folder of the Git repository in which Flux expects the tree, as
// a relative path with forward slashes; "." is the root. The instance has a folder of
// its own in it.
func TreePath(inst input.Instance) string {
	tree := "."
	for _, l := range slices.Backward(newSettings(inst).levels) {
		if l.settings.Flux != nil {
			tree = cmp.Or(l.settings.Flux.Path, tree)
		}
	}
	return path.Clean(tree)
}

// flux is how the instance's tree is reconciled.
func (s settings) flux(instance string) Flux {
	f := Flux{
		Namespace:        "flux-system",
		Interval:         "10m",
		Path:             ".",
		SourceKind:       "GitRepository",
		SourceName:       "flux-system",
		DependsOn:        []input.Reference{{Name: "k8up"}},
		DecryptionSecret: "sops-age",
	}
	for n := len(s.levels) - 1; n >= 0; n-- {
		set := s.levels[n].settings.Flux
		if set == nil {
			continue
		}
		f.Namespace = cmp.Or(set.Namespace, f.Namespace)
		f.Interval = cmp.Or(set.Interval, f.Interval)
		f.Path = cmp.Or(set.Path, f.Path)
		if set.SourceRef != nil {
			f.SourceKind, f.SourceName, f.SourceNamespace = set.SourceRef.Kind, set.SourceRef.Name, set.SourceRef.Namespace
		}
		if set.DependsOn != nil {
			f.DependsOn = set.DependsOn
		}
		if set.Decryption != nil {
			f.DecryptionSecret = set.Decryption.Secret
		}
	}
	f.Path = strings.TrimSuffix(f.Path, "/") + "/" + instance
	if !strings.HasPrefix(f.Path, "./") {
		f.Path = "./" + f.Path
	}
	return f
}

// hash64 is a number that follows from s alone.
func hash64(s string) uint64 {
	sum := sha256.Sum256([]byte(s))
	return binary.BigEndian.Uint64(sum[:8])
}

// section is one of a document's maps whose keys name units, kinds or jobs.
type section struct {
	name string
	keys []string
}

// sections lists them with their keys, sorted.
func sections(s *input.Settings) []section {
	return []section{
		{name: "retention/overrides", keys: slices.Sorted(maps.Keys(s.Retention.Overrides))},
		{name: "schedules", keys: slices.Sorted(maps.Keys(s.Schedules))},
		{name: "deadlines", keys: slices.Sorted(maps.Keys(s.Deadlines))},
		{name: "resources", keys: slices.Sorted(maps.Keys(s.Resources))},
		{name: "sizes", keys: slices.Sorted(maps.Keys(s.Sizes))},
		{name: "losses", keys: slices.Sorted(maps.Keys(s.Losses))},
		{name: "scratch", keys: slices.Sorted(maps.Keys(s.Scratch))},
	}
}

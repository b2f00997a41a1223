package status

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/renderer/input"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Labels of a status, and the key of the verifier's own line.
const (
	roleLabel     = "holdfast.dev/role"
	role          = "status"
	instanceLabel = "holdfast.dev/instance"
	verifierKey   = "verifier"
)

// version of the form that is read.
const version = 1

// Listing is the statuses that were read.
type Listing struct {
	written []written
	// empty are the files without any.
	empty []string
}

// written is one ConfigMap.
type written struct {
	file, name                   string
	cluster, instance, namespace string
	// never says that it has no data.
	never bool
	// wrong says why the verifier's line cannot be read.
	wrong        string
	time, nextBy time.Time
	// units and reds are what it counted.
	units, reds int
	lines       []line
}

// failed counts the lines that are not of a unit that is well or waits.
func (w written) failed() int {
	failed := 0
	for _, n := range w.lines {
		if n.wrong != "" || n.result == "failed" {
			failed++
		}
	}
	return failed
}

// line is what a verifier says of one unit.
type line struct {
	key    string
	unit   Unit
	result string
	// wrong says why it cannot be read.
	wrong string
}

// pointer names the ConfigMap, or a line of it.
func (w written) pointer(key string) string {
	return strings.TrimSuffix("ConfigMap/"+w.namespace+"/"+w.name+"/"+key, "/")
}

// object is what is read of a Kubernetes object.
type object struct {
	Kind     string `json:"kind"`
	Metadata struct {
		Name      string            `json:"name"`
		Namespace string            `json:"namespace"`
		Labels    map[string]string `json:"labels"`
	} `json:"metadata"`
	Data  map[string]string `json:"data"`
	Items []json.RawMessage `json:"items"`
}

// Add takes what kubectl prints: a list, one ConfigMap, or several one after the other.
// The error is a problem.List (HF610) that quotes nothing of it.
func (l *Listing) Add(file string, text []byte) error {
	const hint = "this makes it: " + Command
	decoder := json.NewDecoder(bytes.NewReader(text))
	read, before := 0, len(l.written)
	for ; ; read++ {
		var o object
		err := decoder.Decode(&o)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return unreadable(file, "", "it is no listing of Kubernetes objects", hint)
		}
		switch o.Kind {
		case "ConfigMap":
			if problems := l.add(file, "", o); problems != nil {
				return problems
			}
		case "List", "ConfigMapList":
			if err := l.addAll(file, o.Items, o.Kind); err != nil {
				return err
			}
		default:
			return unreadable(file, "/kind", "it is neither a list nor a ConfigMap", hint)
		}
	}
	if read == 0 {
		return unreadable(file, "", "it is empty", hint)
	}
	if len(l.written) == before {
		l.empty = append(l.empty, file)
	}
	return nil
}

// addAll takes the items of a list.
func (l *Listing) addAll(file string, items []json.RawMessage, kind string) error {
	for n, item := range items {
		at := fmt.Sprintf("/items/%d", n)
		var o object
		if err := json.Unmarshal(item, &o); err != nil {
			return unreadable(file, at, "it is no ConfigMap", "this lists ConfigMaps only: "+Command)
		}
		if o.Kind != "ConfigMap" && (o.Kind != "" || kind != "ConfigMapList") {
			return unreadable(file, at+"/kind", "it is no ConfigMap", "this lists ConfigMaps only: "+Command)
		}
		if problems := l.add(file, at, o); problems != nil {
			return problems
		}
	}
	return nil
}

// dnsName is what Kubernetes lets names be: nothing that a shell would take otherwise.
var dnsName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// add takes a ConfigMap. One that is no status is somebody else's.
func (l *Listing) add(file, at string, o object) problem.List {
	m := o.Metadata
	if m.Labels[roleLabel] != role {
		return nil
	}
	for _, field := range []struct{ key, value string }{{"name", m.Name}, {"namespace", m.Namespace}} {
		if !dnsName.MatchString(field.value) {
			return unreadable(file, at+"/metadata/"+field.key, "it is missing, or no name of Kubernetes", "make the listing again: "+Command)
		}
	}
	w := written{file: file, name: m.Name, namespace: m.Namespace, instance: m.Labels[instanceLabel], never: len(o.Data) == 0}
	if !w.never {
		w.readVerifier(o.Data)
	}
	units := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(o.Data)) {
		if key == verifierKey {
			continue
		}
		n := readLine(key, o.Data[key])
		if other, twice := units[n.unit.Unit]; twice && n.wrong == "" {
			n.wrong = fmt.Sprintf("the line %q is of the same unit", other)
		}
		units[n.unit.Unit] = key
		w.lines = append(w.lines, n)
	}
	l.written = append(l.written, w)
	return nil
}

// twice names another status of the same place; nothing if there is none. Which cluster a
// verifier is in that has never run, nobody knows: in one listing it is the same.
func (l *Listing) twice(at int) string {
	w := l.written[at]
	for n, other := range l.written {
		if n == at || other.instance != w.instance || other.namespace != w.namespace {
			continue
		}
		if other.cluster == w.cluster && w.cluster != "" || other.file == w.file && (other.cluster == "" || w.cluster == "") {
			return other.name + " in " + other.file
		}
	}
	return ""
}

// readVerifier reads the verifier's own line.
func (w *written) readVerifier(data map[string]string) {
	text, there := data[verifierKey]
	if !there {
		w.wrong = "it is missing"
		return
	}
	var v struct {
		SchemaVersion int    `json:"schemaVersion"`
		Instance      string `json:"instance"`
		Cluster       string `json:"cluster"`
		Namespace     string `json:"namespace"`
		Time          string `json:"time"`
		NextBy        string `json:"nextBy"`
		Units         *int   `json:"units"`
		Red           int    `json:"red"`
	}
	if w.wrong = decode(text, &v); w.wrong != "" {
		return
	}
	if w.wrong = times(map[string]string{"time": v.Time, "nextBy": v.NextBy}, map[string]*time.Time{"time": &w.time, "nextBy": &w.nextBy}); w.wrong != "" {
		return
	}
	switch {
	case v.SchemaVersion != version:
		w.wrong = fmt.Sprintf("its schemaVersion is %d, and this Holdfast reads %d", v.SchemaVersion, version)
	case v.Instance != w.instance:
		w.wrong = fmt.Sprintf("it is of the instance %q, and the label says %q", short(v.Instance), w.instance)
	case v.Namespace != w.namespace:
		w.wrong = fmt.Sprintf("it is of the namespace %q, and stands in %s", short(v.Namespace), w.namespace)
	case v.Cluster == "":
		w.wrong = "it names no cluster"
	case w.time.IsZero() || !w.nextBy.After(w.time):
		w.wrong = "it does not say when it was written and, later than that, by when it is written again"
	case v.Units == nil:
		w.wrong = "it does not say how many units there are"
	default:
		w.cluster, w.units, w.reds = v.Cluster, *v.Units, v.Red
	}
}

// readLine reads the line of a unit.
func readLine(key, text string) line {
	var v struct {
		Unit        string     `json:"unit"`
		Need        input.Need `json:"need"`
		Result      string     `json:"result"`
		Reason      string     `json:"reason"`
		LastAttempt string     `json:"lastAttempt"`
		LastSuccess string     `json:"lastSuccess"`
		NextDue     string     `json:"nextDue"`
		Failures    int        `json:"failures"`
		Snapshot    string     `json:"snapshot"`
		Taken       string     `json:"taken"`
		Bytes       *int64     `json:"bytes"`
		Count       *int64     `json:"count"`
		Read        string     `json:"read"`
		History     []int64    `json:"history"`
	}
	n := line{key: key, unit: Unit{Unit: key}}
	refuse := func(format string, args ...any) line {
		n.wrong = "its line cannot be read: " + fmt.Sprintf(format, args...)
		return n
	}
	if wrong := decode(text, &v); wrong != "" {
		return refuse("%s", wrong)
	}
	var attempt, success, due, taken, read time.Time
	wrong := times(
		map[string]string{"lastAttempt": v.LastAttempt, "lastSuccess": v.LastSuccess, "nextDue": v.NextDue, "taken": v.Taken, "read": v.Read},
		map[string]*time.Time{"lastAttempt": &attempt, "lastSuccess": &success, "nextDue": &due, "taken": &taken, "read": &read})
	kind, id, _ := strings.Cut(v.Unit, "/")
	switch {
	case wrong != "":
		return refuse("%s", wrong)
	case kind == "" || id == "":
		return refuse("it is of no unit, kind/key")
	case v.Need != input.Required && v.Need != input.Optional:
		return refuse("need %q is not one of required, optional", short(string(v.Need)))
	case !slices.Contains([]string{"ok", "failed", "waiting"}, v.Result):
		return refuse("result %q is not one of ok, failed, waiting", short(v.Result))
	case v.Failures < 0 || below(v.Bytes) || below(v.Count) || slices.ContainsFunc(v.History, func(b int64) bool { return b < 0 }):
		return refuse("a number is below 0")
	}
	n.result = v.Result
	n.unit = Unit{
		Unit: v.Unit, Need: v.Need, Reason: v.Reason, LastAttempt: stamp(attempt), LastSuccess: stamp(success), NextDue: stamp(due),
		Failures: v.Failures, Snapshot: v.Snapshot, Taken: stamp(taken), Bytes: v.Bytes, Count: v.Count, Read: stamp(read), History: v.History,
	}
	return n
}

// below reports whether a number is known and below 0.
func below(n *int64) bool { return n != nil && *n < 0 }

// verdict says how it is with a unit whose line can be read.
func (n line) verdict(need input.Need, namespace string) (state State, reason, rule, hint string) {
	switch {
	case n.result == "failed":
		state = Warning
		if need == input.Required {
			state = Red
		}
		reason = n.unit.Reason
		if reason == "" {
			reason = "it failed, and its line does not say why"
		}
		if n.unit.Failures > 1 {
			reason += fmt.Sprintf(" (%d rounds in a row)", n.unit.Failures)
		}
		return state, reason, "HF611", "kubectl describe schedule,backup,job --namespace " + namespace + " says what became of the last runs"
	case n.result == "waiting":
		if reason = n.unit.Reason; reason == "" {
			reason = "it is new, and its first round is not over"
		}
		return Waiting, reason, "", ""
	case need == input.Required && n.unit.Taken == "":
		return Red, "it is said to be ok, and has no copy", "HF614", again
	}
	return OK, "", "", ""
}

// decode reads a line; what it returns says what is wrong with it, and quotes nothing.
func decode(text string, to any) string {
	err := json.Unmarshal([]byte(text), to)
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &wrong) && wrong.Field != "":
		return wrong.Field + " is of another type"
	}
	return "it is no JSON object"
}

// times reads the times of a line, of which each may be empty.
func times(texts map[string]string, to map[string]*time.Time) string {
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if texts[name] == "" {
			continue
		}
		at, err := time.Parse(time.RFC3339, texts[name])
		if err != nil {
			return fmt.Sprintf("%s %q is no time in RFC 3339", name, short(texts[name]))
		}
		*to[name] = at
	}
	return ""
}

// short is the beginning of a text that is quoted.
func short(text string) string {
	const most = 40
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// unreadable is a listing that cannot be used.
func unreadable(file, pointer, message, hint string) problem.List {
	return problem.List{{File: file, Pointer: pointer, Message: message, Hint: hint, Rule: "HF610"}}
}

package coverage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-backup/holdfast/renderer/plan"
	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// Annotations by which a live claim says that nobody needs to back it up.
const (
	annotationBackup = "holdfast.dev/backup" // "skip"
	annotationReason = "holdfast.dev/reason" // a sentence
	annotationUntil  = "holdfast.dev/until"  // the last day, as YYYY-MM-DD
)

// Live is what lives, as listings show it.
type Live struct {
	cluster string
	items   map[string]item
	// listed has the file of each place of which there is a listing.
	listed map[string]string
	// kinds has the file in which objects of a kind are listed; objects the keys of each
	// by Kind/namespace/name.
	kinds   map[string]string
	objects map[string][]string
	// covers are objects by which others say that they back up claims.
	covers []cover
}

// item is a source that lives.
type item struct {
	source, file string
	made         time.Time // zero if nobody knows it
	// skipped, reason and until are its annotations.
	skipped       bool
	reason, until string
	// others names what else backs it up, and late why that does not count.
	others, late string
}

// NewLive begins without a listing. Instances of several clusters cannot be held against
// the listings of one (HF600).
func NewLive(plans []*plan.Plan) (*Live, error) {
	l := &Live{items: map[string]item{}, listed: map[string]string{}, kinds: map[string]string{}, objects: map[string][]string{}}
	for n, p := range plans {
		if n > 0 && p.Cluster != l.cluster {
			return nil, problem.List{{Message: fmt.Sprintf("the instances are in several clusters: %q and %q", l.cluster, p.Cluster),
				Hint: "compare the instances of each cluster by themselves", Rule: "HF600"}}
		}
		l.cluster = p.Cluster
	}
	return l, nil
}

// claims is the place of a cluster's claims.
func claims(cluster string) string { return cluster + "/claim:" }

// has says whether a source, or the whole of which it is a part, lives.
func (l *Live) has(source string) bool {
	return slices.ContainsFunc(append(wholes(source), source), func(s string) bool { _, lives := l.items[s]; return lives })
}

// sortedItems are the items by name, with who else covers each.
func (l *Live) sortedItems() []item {
	list := make([]item, 0, len(l.items))
	for _, source := range slices.Sorted(maps.Keys(l.items)) {
		it := l.items[source]
		for _, c := range l.covers {
			if c.claim == source && (it.others == "" || it.late != "") {
				it.others, it.late = c.by, c.late
			}
		}
		list = append(list, it)
	}
	return list
}

// AddNames takes the listing of a place: names, one a line.
func (l *Live) AddNames(place, file string, text []byte) error {
	place = strings.TrimSuffix(place, "/")
	if _, twice := l.listed[place]; twice {
		return wrong(file, "there are two listings of "+place, "give each place one listing")
	}
	l.listed[place] = file
	for line := range strings.Lines(string(text)) {
		if name := strings.TrimSuffix(strings.TrimSpace(line), "/"); name != "" {
			source := place + "/" + name
			l.items[source] = item{source: source, file: file}
		}
	}
	return nil
}

// object is what is read of an object. The values of Secrets are not.
type object struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace"`
		Created     time.Time         `json:"creationTimestamp"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Data       keys            `json:"data"`
	BinaryData keys            `json:"binaryData"`
	Spec       json.RawMessage `json:"spec"`
	Status     json.RawMessage `json:"status"`
	Items      []object        `json:"items"`
}

// keys are an object's, without what they hold.
type keys []string

// UnmarshalJSON forgets the values at once. What has data of another form is no Secret
// and no ConfigMap.
func (k *keys) UnmarshalJSON(text []byte) error {
	var values map[string]json.RawMessage
	if json.Unmarshal(text, &values) == nil {
		*k = slices.Sorted(maps.Keys(values))
	}
	return nil
}

// AddKubernetes takes what kubectl get --output json prints: one list, or several one
// after the other. The error is a problem.List (HF600) that quotes nothing of it.
func (l *Live) AddKubernetes(file string, text []byte, now time.Time) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	read := 0
	for {
		var list object
		err := decoder.Decode(&list)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || !strings.HasSuffix(list.Kind, "List") {
			return wrong(file, "it is no listing of Kubernetes objects", "kubectl get … --all-namespaces --output json makes one; a list of names needs its place in front: PLACE=FILE")
		}
		read++
		for _, o := range list.Items {
			if o.Kind == "" {
				o.Kind = strings.TrimSuffix(list.Kind, "List")
			}
			l.addObject(file, o, now)
		}
	}
	if read == 0 {
		return wrong(file, "it is empty", "a listing that failed says nothing about what lives")
	}
	return nil
}

func (l *Live) addObject(file string, o object, now time.Time) {
	m := o.Metadata
	l.kinds[o.Kind] = file
	l.objects[o.Kind+"/"+m.Namespace+"/"+m.Name] = slices.Concat(o.Data, o.BinaryData)
	if o.Kind == "PersistentVolumeClaim" {
		l.listed[claims(l.cluster)] = file
		source := claims(l.cluster) + m.Namespace + "/" + m.Name
		l.items[source] = item{
			source: source, file: file, made: m.Created,
			skipped: m.Annotations[annotationBackup] == "skip", reason: m.Annotations[annotationReason], until: m.Annotations[annotationUntil],
		}
	}
	group, _, _ := strings.Cut(o.APIVersion, "/")
	if read, known := others()[group+"/"+o.Kind]; known {
		for _, c := range read(o, now) {
			c.claim = claims(l.cluster) + m.Namespace + "/" + c.claim
			l.covers = append(l.covers, c)
		}
	}
}

// wrong is a listing that cannot be used.
func wrong(file, message, hint string) error {
	return problem.List{{File: file, Message: message, Hint: hint, Rule: "HF600"}}
}

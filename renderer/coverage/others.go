package coverage

import (
	"encoding/json"
	"fmt"
	"time"
)

// fresh is how old the proof of another tool may be.
const fresh = 48 * time.Hour

// otherKinds are the objects that others reads, as kubectl calls them.
const otherKinds = "clusters.postgresql.cnpg.io,replicationsources.volsync.backube"

// cover is the word of another tool's object that it backs up a claim.
type cover struct {
	claim string
	// by names the object; late says why it is no proof.
	by, late string
}

// others read the objects of tools that back up claims by themselves.
//
// Fields and their meaning: CloudNativePG's API reference (Cluster, Backup), VolSync's
// ReplicationSource. A VolumeSnapshot is none of them: it is lost with the storage that it
// lies in.
func others() map[string]func(o object, now time.Time) []cover {
	return map[string]func(object, time.Time) []cover{
		"volsync.backube/ReplicationSource": volSync,
		"postgresql.cnpg.io/Cluster":        cloudNativePG,
	}
}

// volSync reads a ReplicationSource, which backs up one claim.
func volSync(o object, now time.Time) []cover {
	var spec struct {
		SourcePVC string `json:"sourcePVC"`
		Paused    bool   `json:"paused"`
	}
	var status struct {
		LastSyncTime time.Time `json:"lastSyncTime"`
	}
	if json.Unmarshal(o.Spec, &spec) != nil || spec.SourcePVC == "" {
		return nil
	}
	_ = json.Unmarshal(o.Status, &status) // without one it has never run
	c := cover{claim: spec.SourcePVC, by: "VolSync's ReplicationSource " + o.Metadata.Name, late: old(status.LastSyncTime, now)}
	if spec.Paused {
		c.late = "it is paused"
	}
	return []cover{c}
}

// cloudNativePG reads a Cluster, whose backup has the data of all its claims.
func cloudNativePG(o object, now time.Time) []cover {
	var status struct {
		LastSuccessfulBackup time.Time `json:"lastSuccessfulBackup"`
		// ByMethod has the last one of each method, where the operator tells them apart.
		ByMethod map[string]time.Time `json:"lastSuccessfulBackupByMethod"`
		// HealthyPVC are the claims in use.
		HealthyPVC []string `json:"healthyPVC"`
	}
	if json.Unmarshal(o.Status, &status) != nil {
		return nil
	}
	late := old(status.LastSuccessfulBackup, now)
	if len(status.ByMethod) > 0 {
		delete(status.ByMethod, "volumeSnapshot")
		var last time.Time
		for _, at := range status.ByMethod {
			if at.After(last) {
				last = at
			}
		}
		if late = old(last, now); last.IsZero() {
			late = "its copies are volume snapshots, which are lost with their storage"
		}
	}
	var covers []cover
	for _, claim := range status.HealthyPVC {
		covers = append(covers, cover{claim: claim, by: "CloudNativePG's Cluster " + o.Metadata.Name, late: late})
	}
	return covers
}

// old says why a copy of that time proves nothing; nothing if it does.
func old(last, now time.Time) string {
	switch {
	case last.IsZero():
		return "it has never made a copy"
	case now.Sub(last) > fresh:
		return fmt.Sprintf("its last copy is of %s", last.UTC().Format(time.RFC3339))
	}
	return ""
}

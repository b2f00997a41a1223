package plan

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/kind"
)

// Names that charts give to claims with files that must not be copied while the program
// runs. A StatefulSet's claim is named after the template, the set and the pod's
// number.
var (
	// github.com/bitnami/charts, volumeClaimTemplates of each chart: "data", and
	// "redis-data" for Redis, whose sets are called after the chart and the role.
	databaseClaim = regexp.MustCompile(`^data-(.+-)?(postgresql|mariadb|mariadb-galera|mysql|cassandra|mongodb|etcd)(-primary|-secondary|-read)?-[0-9]+$`)
	redisClaim    = regexp.MustCompile(`^redis-data-(.+-)?redis-(master|replicas|node)-[0-9]+$`)
	// Univention's chart of the LDAP server, as openDesk installs it.
	directoryClaim = regexp.MustCompile(`^shared-data-(.+-)?ldap-server-(primary|secondary|proxy)-[0-9]+$`)
	// openDesk's bundled stores of objects: a claim of that very name, or one of a
	// set's.
	storeClaim = regexp.MustCompile(`^((data|export)-)?(.+-)?(minio|seaweedfs(-all-in-one|-filer|-master|-volume)?(-data)?)(-[0-9]+)?$`)
)

// dataClaim is a name that is known, and whose files it stands for.
type dataClaim struct {
	form *regexp.Regexp
	what string
}

func dataClaims() []dataClaim {
	return []dataClaim{
		{databaseClaim, "a database"},
		{redisClaim, "Redis"},
		{directoryClaim, "an LDAP server"},
		{storeClaim, "an object store"},
	}
}

var ordinal = regexp.MustCompile(`-[0-9]+$`)

// live is HF116: the files of a running database, copied one after the other,
// are of no single moment.
func (c *checker) live(u kind.Unit) {
	if u.Capture.LiveReason != "" {
		return
	}
	const hint = `set "backup": "skip" with a reason where its dump is enough, or add "liveFiles": {"reason": …}`
	for _, known := range dataClaims() {
		if known.form.MatchString(u.Capture.Claim) {
			c.problemAt(unitPlace(u), "HF116", hint, "claim %s has the name of the files of %s, which are no backup while it runs", u.Capture.Claim, known.what)
			return
		}
	}
	for _, other := range c.plan.inputs.discovered {
		if other.Capture == nil || other.Capture.How == kind.Volume {
			continue
		}
		for _, server := range c.plan.servers(other.Unit) {
			workload := u.Capture.Workload
			mounted := workload != nil && u.Namespace+"/"+workload.Name == server
			namespace, name, _ := strings.Cut(server, "/")
			set := ordinal.ReplaceAllString(u.Capture.Claim, "")
			claimed := u.Namespace == namespace && set != u.Capture.Claim && strings.HasSuffix(set, "-"+name)
			if mounted || claimed {
				c.problemAt(unitPlace(u), "HF116", hint, "claim %s belongs to %s, which %s copies by its own means: its files are no backup while it runs",
					u.Capture.Claim, name, other.ID)
				return
			}
		}
	}
}

// servers are the namespaces and names of what a unit reads from, if that is in
// the cluster: its workload, or what its host is called after.
func (p *Plan) servers(u kind.Unit) []string {
	var names []string
	if u.Capture.Workload != nil && u.Capture.Workload.Name != "" {
		names = append(names, u.Namespace+"/"+u.Capture.Workload.Name)
	}
	for _, c := range u.Connects {
		if c.Host == apiServer {
			continue
		}
		namespace, inside := serviceNamespace(c.Host, u.Namespace, p.inputs.instance.State.Cluster.ClusterDomain)
		if !inside {
			continue
		}
		// "service", "service.namespace.svc" or "pod.service.namespace.svc".
		labels := strings.Split(c.Host, ".")
		service := labels[0]
		if n := slices.Index(labels, "svc"); n == 3 {
			service = labels[1]
		}
		names = append(names, fmt.Sprint(namespace, "/", service))
	}
	return names
}

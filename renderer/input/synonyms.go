package input

import (
	"slices"
	"strings"

	"github.com/holdfast-backup/holdfast/renderer/problem"
)

// synonyms lists the words that people write for a key whose name they have to
// guess, without case, "-" and "_". A word counts only where its key may stand.
func synonyms() map[string][]string {
	return map[string][]string{
		// Sections of the state.
		"backup":         {"backups", "enabled", "include"},
		"databases":      {"database", "db", "dbs"},
		"kubernetes":     {"k8s", "kube"},
		"ldap":           {"directory", "ldapserver", "openldap", "slapd"},
		"network":        {"networking", "networkpolicies", "networkpolicy"},
		"objectStores":   {"bucket", "buckets", "minio", "objectstorage", "s3", "stores"},
		"secretsManager": {"bao", "openbao", "secretmanager", "secrets", "vault"},
		"volumes":        {"claims", "disks", "persistentvolumeclaims", "persistentvolumes", "pvc", "pvcs", "pvs"},

		// Fields of sources.
		"adminDn":         {"binddn", "managerdn", "rootdn", "userdn"},
		"baseDn":          {"base", "searchbase", "suffix"},
		"adminRef":        {"adminpasswordref", "adminsecret"},
		"passwordRef":     {"password", "passwordsecret", "passwordsecretref", "secretref"},
		"accessKeyRef":    {"accesskey", "accesskeyid", "accesskeysecret"},
		"secretKeyRef":    {"secretaccesskey", "secretkey"},
		"caRef":           {"ca", "cacert", "cacertificate", "carootref"},
		"username":        {"login", "role", "user"},
		"host":            {"address", "hostname", "server", "service"},
		"address":         {"endpoint", "host", "url"},
		"endpoint":        {"address", "host", "server", "url"},
		"serverVersion":   {"version"},
		"sslMode":         {"ssl", "tls", "tlsmode"},
		"tls":             {"ssl", "sslmode", "tlsmode"},
		"startTls":        {"ssl", "tls"},
		"key":             {"id", "name"},
		"id":              {"key", "name"},
		"claim":           {"claimname", "name", "persistentvolumeclaim", "pvc", "volume"},
		"bucket":          {"bucketname", "name"},
		"mount":           {"engine", "mountpath", "path"},
		"mountPath":       {"mount", "path"},
		"pathPrefix":      {"path", "prefix"},
		"prefix":          {"folder", "path"},
		"statefulSet":     {"sts", "workload"},
		"dataDir":         {"datadirectory", "path"},
		"replicas":        {"nodes", "size"},
		"replicasPrimary": {"primaries", "replicas"},
		"reason":          {"comment", "description", "why"},
		"owner":           {"user", "securitycontext", "uid"},
		"expectDatabases": {"databases", "schemas"},
		"minTables":       {"tables"},

		// Settings, network, credentials.
		"apiServer":    {"api", "kubeapi", "kubernetesapi"},
		"clusterCidrs": {"cidrs", "podcidr", "podcidrs", "servicecidr", "servicecidrs"},
		"httpProxy":    {"httpsproxy", "proxy"},
		"policyEngine": {"cni", "engine", "policies"},
		"timezone":     {"timezonename", "tz", "zone"},
		"schedules":    {"cron", "schedule"},
		"window":       {"time", "timewindow"},
		"keepDaily":    {"daily", "days"},
		"keepHourly":   {"hourly", "hours"},
		"keepLast":     {"last"},
		"keepMonthly":  {"monthly", "months"},
		"keepWeekly":   {"weekly", "weeks"},
		"keepYearly":   {"yearly", "years"},
		"recipients":   {"agerecipients", "agekeys"},
	}
}

// products are what people put at the top of the state that has its place in
// the databases.
func products() map[string]string {
	return map[string]string{
		"cassandra": "cassandra", "mariadb": "mariadb", "mysql": "mariadb", "galera": "mariadb",
		"pg": "postgresql", "postgres": "postgresql", "postgresql": "postgresql",
	}
}

// plain is a key without case, "-", "_" and ".".
func plain(key string) string {
	return strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(key))
}

// meant returns the known key that an unknown one stands for, or "": the same
// in another spelling, another word for it, or a misspelt one. Keys that the
// object has already are not what was meant, unless only the spelling differs.
func meant(key string, known []string, object map[string]any) string {
	const longest = 64
	if len(key) > longest {
		return ""
	}
	var absent []string
	for _, k := range known {
		if plain(k) == plain(key) {
			return k
		}
		if _, present := object[k]; !present {
			absent = append(absent, k)
		}
	}
	for _, k := range absent {
		if slices.Contains(synonyms()[k], plain(key)) {
			return k
		}
	}
	return problem.Nearest(key, absent)
}

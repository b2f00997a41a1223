package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-backup/holdfast/e2e/harness"
)

const (
	redisUnit = "redis/sessions"
	// What a script must only pass on.
	redisPassword = "-p'w\"d $(id) \\ %s&= #"
	redisUser     = "-u'ser\"$PATH=\\;`x`"
	redisName     = "-n \\y 'c\" $(d) `e` ;\x00\xff\n\tü"
)

// redisServer is a Redis of Debian's, without TLS and with it.
type redisServer struct {
	*harness.Server
	port, tls int
	ca        *harness.CA
	password  string
}

// newRedis starts a server on loopback, whose default account has this password.
func newRedis(t testing.TB, password string, further ...string) *redisServer {
	t.Helper()
	uid, gid := serverUser(t, "redis")
	dir := harness.Folder(t, uid)
	s := &redisServer{port: harness.Port(t), tls: harness.Port(t), ca: harness.NewCA(t), password: password}
	certificate, key := s.ca.Issue(t, uid)
	s.Server = harness.Serve(t, "redis-server", append([]string{
		"redis-server", "--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", dir, "--save", "", "--repl-diskless-sync-delay", "0",
		"--tls-port", strconv.Itoa(s.tls), "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", s.ca.File, "--tls-auth-clients", "no",
		"--enable-debug-command", "yes",
	}, further...), harness.ServeOptions{UID: uid, GID: gid, Dir: dir, Ready: harness.Listening(fmt.Sprintf("127.0.0.1:%d", s.port))})
	s.password = ""
	s.do(t, "0", "CONFIG", "SET", "requirepass", password)
	s.password = password
	return s
}

// try runs a command in a database and returns what redis-cli prints.
func (s *redisServer) try(database string, command ...string) (string, error) {
	cmd := exec.Command("redis-cli", append([]string{"-e", "-p", strconv.Itoa(s.port), "-n", database, "-x"}, command[:len(command)-1]...)...)
	// The last argument goes by stdin: it may hold any byte.
	cmd.Stdin = strings.NewReader(command[len(command)-1])
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	if s.password != "" {
		cmd.Env = append(cmd.Env, "REDISCLI_AUTH="+s.password)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("redis-cli: %w: %s%.2000s", err, stderr.String(), stdout.String())
	}
	return strings.TrimSuffix(stdout.String(), "\n"), nil
}

func (s *redisServer) do(t testing.TB, database string, command ...string) string {
	t.Helper()
	out, err := s.try(database, command...)
	if err != nil {
		t.Fatalf("%q: %v", command, err)
	}
	return out
}

// lua runs a script that calls redis.call: the way to names and values of any bytes.
func (s *redisServer) lua(t testing.TB, database, script string) string {
	t.Helper()
	return s.do(t, database, "EVAL", script, "0", "")
}

// quoted is a string of Lua's.
func quoted(text string) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		fmt.Fprintf(&b, `\%03d`, c)
	}
	return `"` + b.String() + `"`
}

// fill makes keys of every type in three databases, and functions.
func (s *redisServer) fill(t testing.TB) {
	t.Helper()
	s.lua(t, "0", `
local call = redis.call
call("SET", "text", "value") call("SET", "number", "42") call("SET", "nothing", "")
call("SET", `+quoted(redisName)+`, `+quoted(redisName)+`)
call("SET", "later", "v", "PXAT", "4102444800123") call("SET", "soon", "v", "EX", "5000")
call("RPUSH", "list", "a", "", `+quoted(redisName)+`, "a") for i = 1, 3000 do call("RPUSH", "long list", "entry " .. i) end
call("SADD", "set of numbers", 1, 2, -3) call("SADD", "set", "a", `+quoted(redisName)+`) for i = 1, 3000 do call("SADD", "large set", "member " .. i) end
call("HSET", "hash", "f", "v", `+quoted(redisName)+`, `+quoted(redisName)+`) for i = 1, 3000 do call("HSET", "large hash", "field " .. i, i) end
call("EXPIRE", "hash", 5000)
call("ZADD", "sorted", "1.5", "a", "-inf", "b", "0.1", `+quoted(redisName)+`) for i = 1, 3000 do call("ZADD", "large sorted", i / 7, "member " .. i) end
call("XADD", "stream", "5-1", "f", "v") call("XADD", "stream", "6-0", "f", `+quoted(redisName)+`) call("XADD", "stream", "7-0", "g", "w") call("XDEL", "stream", "7-0")
call("XGROUP", "CREATE", "stream", "group", "0") call("XREADGROUP", "GROUP", "group", "reader", "COUNT", 1, "STREAMS", "stream", ">")
call("XGROUP", "CREATECONSUMER", "stream", "group", "idle")
call("XADD", "empty stream", "1-1", "f", "v") call("XDEL", "empty stream", "1-1")
call("PFADD", "visitors", "a", "b", "c") call("SETBIT", "bits", 77, 1) call("GEOADD", "places", 13.4, 52.5, "Berlin")`)
	s.lua(t, "7", `redis.call("SET", "text", "of database 7") redis.call("SET", "big", string.rep("\0\255", 3000000))`)
	s.lua(t, "15", `for i = 1, 2500 do redis.call("SET", "n:" .. i, i) end`)
	s.do(t, "0", "FUNCTION", "LOAD", "#!lua name=mine\nredis.register_function('answer', function(keys, args) return 42 end)")
}

// everything is all that the server holds: a digest of each key, its time, the groups
// of streams, and the functions.
func (s *redisServer) everything(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	for _, database := range []string{"0", "7", "15"} {
		b.WriteString("database " + database + "\n" + s.lua(t, database, `
local out = {}
for _, key in ipairs(redis.call("KEYS", "*")) do
  local kind, more = redis.call("TYPE", key).ok, ""
  if kind == "stream" then more = cjson.encode({redis.call("XINFO", "GROUPS", key), redis.call("XRANGE", key, "-", "+"), redis.call("XINFO", "STREAM", key)[8], redis.call("XINFO", "STREAM", key)[12]}) end
  if key == "stream" then local p = redis.call("XPENDING", key, "group", "-", "+", 10) more = more .. p[1][1] .. p[1][2] .. p[1][4] end
  if kind == "string" then more = redis.sha1hex(redis.call("GET", key)) end
  if kind == "list" then more = redis.sha1hex(table.concat(redis.call("LRANGE", key, 0, -1), "|")) end
  out[#out + 1] = (string.gsub(key, ".", function (c) return string.format("%02x", string.byte(c)) end)) .. " " .. kind .. " " .. redis.call("PEXPIRETIME", key) .. " " .. more
end
table.sort(out)
return out`) + "\n")
		// The server's own digest, of the values of sets, hashes and sorted sets as well.
		b.WriteString(s.do(t, database, "DEBUG", "DIGEST") + "\n")
	}
	b.WriteString(s.do(t, "0", "FUNCTION", "LIST", "WITHCODE"))
	if all := b.String(); strings.Count(all, "\n") < 2500 || !strings.Contains(all, "4102444800123") || !strings.Contains(all, "register_function") {
		t.Fatalf("the comparison lists too little:\n%.3000s", all)
	}
	return b.String()
}

// state is an instance with the server; further keys replace the usual ones.
func (s *redisServer) state(further map[string]any) map[string]any {
	server := map[string]any{
		"key": "sessions", "host": "127.0.0.1", "port": s.port, "serverVersion": "7.0", "backup": "required",
		"passwordRef": map[string]any{"kind": "Secret", "name": "redis", "key": "password"},
	}
	for name, value := range further {
		server[name] = value
	}
	if server["caRef"] == nil {
		server["plainText"] = map[string]any{"reason": "the server of the test has no TLS here"}
	}
	return map[string]any{"caches": []any{server}}
}

func TestRedis(t *testing.T) {
	s := newRedis(t, redisPassword)
	s.fill(t)
	s3 := harness.S3(t, "backup")
	instance := func(t testing.TB, further map[string]any) *harness.Instance {
		t.Helper()
		return harness.Render(t, harness.Inputs{State: s.state(further), Credentials: map[string]any{"restic": s3.Restic("backup", "")}})
	}
	i := instance(t, nil)
	options := func(t testing.TB, shell string) harness.Options {
		return harness.Options{
			Image: harness.Image{Shell: shell, Bin: []string{harness.Kubectl(t, harness.KubectlOptions{FreeLocks: true})}},
			Env:   map[string]string{}, Secrets: map[string]map[string]string{"redis": {"password": redisPassword}}, Watch: true,
		}
	}
	// into sends a restore to another server.
	into := func(o harness.Options, to *redisServer) harness.Options {
		o.Env["REDIS_PORT"], o.Env["REDISCLI_AUTH"] = strconv.Itoa(to.port), to.password
		return o
	}
	before := s.everything(t)
	var dump []byte

	for _, shell := range []string{"ash", "dash"} {
		t.Run("dump/"+shell, func(t *testing.T) {
			r := i.Dump(t, redisUnit, options(t, shell)).OK(t)
			if !bytes.HasPrefix(r.Stdout, []byte("REDIS0")) || !strings.Contains(r.Stderr, "2522 counted") {
				t.Errorf("it begins with %.9q, and says %q", r.Stdout, r.Stderr)
			}
			dump = r.Stdout
			sameLines(t, "a dump changed the server", before, s.everything(t))
		})
	}
	if dump == nil {
		t.Fatal("without a dump there is nothing to restore")
	}

	t.Run("restore/fresh-from-restic", func(t *testing.T) {
		i.Store(t, redisUnit, dump)
		for _, shell := range []string{"ash", "dash"} {
			fresh := newRedis(t, "another password")
			i.Restore(t, redisUnit, into(options(t, shell), fresh)).OK(t)
			sameLines(t, "on another server", before, fresh.everything(t))
			if got := fresh.do(t, "0", "FCALL", "answer", "0"); got != "42" {
				t.Errorf("the function says %q", got)
			}
		}
	})

	t.Run("restore/over-changed", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			changed := newRedis(t, "another password")
			changed.fill(t)
			changed.lua(t, "0", `redis.call("RPUSH", "list", "later") redis.call("SET", "newer", 1) redis.call("DEL", "hash")`)
			there := changed.everything(t)
			o := into(options(t, shell), changed)
			o.Input = dump
			i.Restore(t, redisUnit, o).Fails(t, 65, "the target has keys or functions", "HOLDFAST_OVERWRITE=yes")
			sameLines(t, "a refused restore", there, changed.everything(t))
			o.Env["HOLDFAST_OVERWRITE"] = "yes"
			i.Restore(t, redisUnit, o).OK(t)
			sameLines(t, "after the restore", before, changed.everything(t))
			// Once more: it is the same.
			i.Restore(t, redisUnit, o).OK(t)
			sameLines(t, "after the second restore", before, changed.everything(t))
		}
	})

	t.Run("restore/left-out", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			fresh := newRedis(t, "another password")
			o := into(options(t, shell), fresh)
			o.Input = dump
			o.Env["HOLDFAST_LEAVE_OUT"] = "key 15/*\nkey 0/text\nkey 0/-n *"
			r := i.Restore(t, redisUnit, o).OK(t)
			if !strings.Contains(r.Stderr, "2502 items were left out") || !strings.Contains(r.Stderr, "  key 0/text\n") {
				t.Errorf("it says %.600q", r.Stderr)
			}
			if got := fresh.lua(t, "0", `return redis.call("EXISTS", "text", `+quoted(redisName)+`) .. redis.call("EXISTS", "number")`) + fresh.lua(t, "15", `return redis.call("DBSIZE")`); got != "010" {
				t.Errorf("what is there: %s", got)
			}
		}
	})

	failure := func(name string, f func(t *testing.T, o harness.Options)) {
		t.Run("failure/"+name, func(t *testing.T) {
			for _, shell := range []string{"ash", "dash"} {
				f(t, options(t, shell))
			}
		})
	}
	failure("wrong-password", func(t *testing.T, o harness.Options) {
		o.Secrets["redis"]["password"] = "not the password"
		i.Dump(t, redisUnit, o).Fails(t, 69, "WRONGPASS")
		o.Input = dump
		i.Restore(t, redisUnit, o).Fails(t, 69, "WRONGPASS")
	})
	failure("server-gone-before", func(t *testing.T, o harness.Options) {
		o.Env["REDIS_PORT"] = strconv.Itoa(harness.ClosedPort(t))
		i.Dump(t, redisUnit, o).Fails(t, 69, "Connection refused")
		o.Input = dump
		i.Restore(t, redisUnit, o).Fails(t, 69, "Connection refused")
	})
	failure("permission-denied", func(t *testing.T, o harness.Options) {
		defer s.do(t, "0", "ACL", "DELUSER", "partial")
		o.Env["REDIS_USER"], o.Secrets["redis"]["password"] = "partial", "the-password-of-partial"
		// What a dump asks for, and then what it must have to read.
		for rights, says := range map[string]string{"+ping": "NOPERM", "+ping +info +acl|users": "NOPERM"} {
			s.do(t, "0", append([]string{"ACL", "SETUSER", "partial", "on", ">the-password-of-partial", "~*"}, strings.Fields(rights)...)...)
			i.Dump(t, redisUnit, o).Fails(t, 69, says)
		}
	})
	failure("hostile-names", func(t *testing.T, o harness.Options) {
		s.do(t, "0", "ACL", "SETUSER", redisUser, "on", "~*", "+@all", ">"+redisPassword)
		defer s.do(t, "0", "ACL", "DELUSER", redisUser)
		o.Env["REDIS_USER"] = redisUser
		i.Dump(t, redisUnit, o).Fails(t, 65, "1 things would not come back", "account: account "+redisUser)
		i := harness.Render(t, harness.Inputs{State: s.state(nil), Credentials: map[string]any{"restic": s3.Restic("backup", "hostile")}, Policy: map[string]any{
			"schemaVersion": 1, "losses": map[string]any{redisUnit: []any{map[string]any{"loss": "account", "reason": "it is made by hand"}}}}})
		r := i.Dump(t, redisUnit, o).OK(t)
		if !bytes.Contains(r.Stdout[len(r.Stdout)-1000:], []byte(`{"loss":"account","item":"account `)) {
			t.Error("the trailer does not name the account")
		}
		fresh := newRedis(t, redisPassword)
		fresh.do(t, "0", "ACL", "SETUSER", redisUser, "on", "~*", "+@all", ">"+redisPassword)
		o = into(o, fresh)
		o.Input = r.Stdout
		i.Restore(t, redisUnit, o).OK(t)
		sameLines(t, "after the restore", before, fresh.everything(t))
	})
	empty := newRedis(t, redisPassword)
	failure("empty", func(t *testing.T, o harness.Options) {
		o = into(o, empty)
		i.Dump(t, redisUnit, o).Fails(t, 65, "the copy counts 0, fewer than 1")
		// A key whose time is over is none.
		empty.do(t, "0", "DEBUG", "SET-ACTIVE-EXPIRE", "0")
		empty.do(t, "0", "SET", "k", "v", "PX", "1")
		time.Sleep(20 * time.Millisecond)
		i.Dump(t, redisUnit, o).Fails(t, 65, "the copy counts 0, fewer than 1")
		empty.do(t, "0", "FLUSHALL", "SYNC")
		instance(t, map[string]any{"minKeys": 5000}).Dump(t, redisUnit, options(t, o.Image.Shell)).Fails(t, 65, "the copy counts 2522, fewer than 5000")
	})
	t.Run("dump/allowed-empty", func(t *testing.T) {
		for _, shell := range []string{"ash", "dash"} {
			i := instance(t, map[string]any{"mayBeEmpty": map[string]any{"reason": "nobody is logged in"}})
			o := into(options(t, shell), empty)
			r := i.Dump(t, redisUnit, o).OK(t)
			if !strings.Contains(r.Stderr, "empty, which is allowed: nobody is logged in") {
				t.Errorf("it says %q", r.Stderr)
			}
			o.Input = r.Stdout
			i.Restore(t, redisUnit, o).OK(t)
		}
	})
	failure("truncated", func(t *testing.T, o harness.Options) {
		path := filepath.Join(harness.Folder(t, 0), "redis-cli")
		o.Image.Bin = append(o.Image.Bin, path)
		for cut, says := range map[string]string{
			"head -c 9": "RDB", "head -c 200": "RDB", "head -c 20000": "RDB", "head -c -1": "RDB", "head -c -9": "RDB", "sed s/value/velue/": "RDB",
		} {
			script := fmt.Sprintf("#!/bin/sh\n%s/redis-cli \"$@\" || exit\nwhile [ $# -gt 0 ]; do\n  [ \"$1\" != --rdb ] || { %s <\"$2\" >\"$2.cut\" && cat \"$2.cut\" >\"$2\"; }\n  shift\ndone\n",
				harness.Behind, cut)
			if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
			i.Dump(t, redisUnit, o).Fails(t, 65, "redis-check-rdb", says)
		}
	})
	failure("restore-of-a-cut-dump", func(t *testing.T, o harness.Options) {
		fresh := newRedis(t, "another password")
		fresh.do(t, "0", "SET", "mine", "v")
		whole := harness.Payload(dump)
		for _, size := range []int{0, 100, len(whole) / 2, len(whole) - 9} {
			o := into(o, fresh)
			o.Input = whole[:size]
			o.Env["HOLDFAST_OVERWRITE"] = "yes"
			i.Restore(t, redisUnit, o).Fails(t, 65, "loading the copy")
		}
		if got := fresh.do(t, "0", "GET", "mine"); got != "v" {
			t.Error("a restore that was refused has deleted what was there")
		}
	})
	failure("restore-into-a-smaller-server", func(t *testing.T, o harness.Options) {
		// It has no database 15: those keys must not go into another one.
		small := newRedis(t, "another password", "--databases", "8")
		o = into(o, small)
		o.Input = dump
		i.Restore(t, redisUnit, o).Fails(t, 69, "DB index is out of range")
		if got := small.do(t, "0", "INFO", "keyspace"); strings.Contains(got, "keys=") {
			t.Errorf("it has %q", got)
		}
	})
	failure("restore-that-does-not-fit", func(t *testing.T, o harness.Options) {
		small := newRedis(t, "another password", "--maxmemory", "3mb")
		o = into(o, small)
		o.Input = dump
		r := i.Restore(t, redisUnit, o).Fails(t, 65, "items of the copy did not come back", "OOM command not allowed", "key 7/big: it is not there")
		if strings.Contains(r.Stderr, "of database 7") {
			t.Error("the restore repeats the data")
		}
	})
	failure("restore-into-a-replica", func(t *testing.T, o harness.Options) {
		replica := newRedis(t, "another password")
		replica.do(t, "0", "REPLICAOF", "127.0.0.1", strconv.Itoa(harness.ClosedPort(t)))
		o = into(o, replica)
		o.Input = dump
		i.Restore(t, redisUnit, o).Fails(t, 69, "the target is a replica")
	})
	failure("cluster", func(t *testing.T, o harness.Options) {
		o = into(o, newRedis(t, "another password", "--cluster-enabled", "yes"))
		i.Dump(t, redisUnit, o).Fails(t, 69, "a node of a cluster")
		o.Input = dump
		i.Restore(t, redisUnit, o).Fails(t, 69, "a node of a cluster")
	})
	failure("disk-full", func(t *testing.T, o harness.Options) {
		for _, size := range []string{"16Ki", "64Ki"} {
			o.Scratch = size
			i.Dump(t, redisUnit, o).Fails(t, 73, "full")
		}
		// The copy fits, and its commands do not.
		o.Input, o.Scratch = dump, "1Mi"
		o.Env["HOLDFAST_OVERWRITE"] = "yes"
		i.Restore(t, redisUnit, o).Fails(t, 73, "No space left on device")
		sameLines(t, "a restore without room", before, s.everything(t))
	})
	failure("slow", func(t *testing.T, o harness.Options) {
		s.Signal(syscall.SIGSTOP)
		defer s.Signal(syscall.SIGCONT)
		o.Env["HOLDFAST_DEADLINE"] = "2"
		i.Dump(t, redisUnit, o).Fails(t, 69, "did not end within 2 s")
		o.Input = dump
		i.Restore(t, redisUnit, o).Fails(t, 69, "did not end within 2 s")
	})
	failure("locked", func(t *testing.T, o harness.Options) {
		o.Locks = map[string]map[string]string{i.Unit(t, redisUnit).Lock: {"holder": "a restore", "until": "9999999999"}}
		i.Dump(t, redisUnit, o).Fails(t, 75, "held by a restore")
	})
	failure("wrong-ca", func(t *testing.T, o harness.Options) {
		i := instance(t, map[string]any{"port": s.tls, "caRef": map[string]any{"kind": "ConfigMap", "name": "ca", "key": "pem"}})
		o.ConfigMaps = map[string]map[string]string{"ca": {"pem": wrongCA(t)}}
		i.Dump(t, redisUnit, o).Fails(t, 69, "certificate verify failed")
		o.Input = dump
		i.Restore(t, redisUnit, o).Fails(t, 69, "certificate verify failed")
		o.ConfigMaps["ca"]["pem"] = string(s.ca.PEM)
		i.Dump(t, redisUnit, o).OK(t)
		o.Env["REDIS_TLS"] = "perhaps"
		i.Dump(t, redisUnit, o).Fails(t, 64, "REDIS_TLS is none of")
	})
	failure("a-secret-in-a-message", func(t *testing.T, o harness.Options) {
		// A program that repeats its password.
		path := filepath.Join(harness.Folder(t, 0), "redis-cli")
		o.Image.Bin = append(o.Image.Bin, path)
		if err := os.WriteFile(path, []byte("#!/bin/sh\necho \"AUTH $REDISCLI_AUTH failed\" >&2\nexit 1\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		i.Dump(t, redisUnit, o).Fails(t, 69, "AUTH *** failed")
	})
	t.Run("preflight", func(t *testing.T) {
		for _, c := range []struct {
			name, says string
			with       func(t *testing.T) *redisServer
		}{
			{"green", "", func(*testing.T) *redisServer { return s }},
			{"wrong password", "WRONGPASS", func(*testing.T) *redisServer { return &redisServer{port: s.port, password: "not the password"} }},
			{"cluster", "a node of a cluster", func(t *testing.T) *redisServer { return newRedis(t, "another password", "--cluster-enabled", "yes") }},
		} {
			t.Run(c.name, func(t *testing.T) {
				redisPreflight(t, i, c.with(t), c.says)
			})
		}
	})
	// The last one: the server does not come back.
	t.Run("failure/server-gone-in-the-middle", func(t *testing.T) {
		s.lua(t, "3", `local text = string.rep("0123456789abcdef", 65536) for i = 1, 300 do redis.call("SET", "big" .. i, text .. i) end`)
		s.do(t, "0", "CONFIG", "SET", "rdbcompression", "no")
		s.do(t, "0", "CONFIG", "SET", "rdb-key-save-delay", "20000")
		p := i.Start(t, redisUnit, "dump", options(t, "dash"))
		harness.WaitFor(t, "redis-cli copies", 30*time.Second, func() error {
			out, err := s.try("0", "INFO", "persistence")
			if err == nil && !strings.Contains(out, "rdb_bgsave_in_progress:1") {
				err = fmt.Errorf("no save: %.200s", out)
			}
			return err
		})
		s.Kill()
		p.Wait().Fails(t, 69, "redis-cli --rdb failed")
	})
}

// redisPreflight runs the unit's trial against a server; says is what it finds wrong.
func redisPreflight(t *testing.T, i *harness.Instance, s *redisServer, says string) {
	t.Helper()
	var trial string
	for _, candidate := range i.Plan.Preflights[0].Trials {
		if candidate.Units[0] == redisUnit {
			trial = candidate.Name
		}
	}
	for _, shell := range []string{"ash", "dash"} {
		findings := harness.Folder(t, 0)
		if err := os.Chmod(findings, 0o777); err != nil {
			t.Fatal(err)
		}
		r := i.Job(t, "Job", "app", "e2e-preflight", trial, harness.Options{
			Image: harness.Image{Shell: shell}, Secrets: map[string]map[string]string{"redis": {"password": s.password}},
			Env: map[string]string{"REDIS_PORT": strconv.Itoa(s.port)}, Shared: map[string]string{"findings": findings}, Watch: true,
		})
		if r.Code != 0 {
			t.Fatalf("it ended with %d: %s", r.Code, r.Stderr)
		}
		data, err := os.ReadFile(filepath.Join(findings, trial))
		if err != nil {
			t.Fatal(err)
		}
		if failed := strings.Contains(string(data), "FAIL"); failed != (says != "") || !strings.Contains(string(data), says) || !strings.Contains(string(data), redisUnit+"\tlogin\t") {
			t.Errorf("%s: the findings are\n%s", shell, data)
		}
	}
}

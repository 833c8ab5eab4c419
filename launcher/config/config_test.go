package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const (
	signingKey = "agent-launcher-signing-key-1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	plane      = `"controlPlane": {"source": "sealed", "url": "https://cp.example/", "hostId": "h1", "tokenFile": "t", "signingKey": "` + signingKey + `"}`
)

// want is a problem without its place: that is where the text has a §.
type want struct{ path, says string }

// write makes the file of a test, without marks.
func write(t testing.TB, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "§", "")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// compare checks path, message and hint of each problem, and that it is where
// the text has its mark.
func compare(t *testing.T, text string, err error, wanted []want) {
	t.Helper()
	got, _ := err.(Problems)
	parts := strings.Split(text, "§")
	if len(got) != len(wanted) || len(parts) != len(wanted)+1 {
		t.Fatalf("%d problems, want %d at %d marks:\n%v", len(got), len(wanted), len(parts)-1, err)
	}
	before := ""
	for i, w := range wanted {
		before += parts[i]
		line, col := strings.Count(before, "\n")+1, len(before)-strings.LastIndex(before, "\n")
		p := got[i]
		if p.Line != line || p.Col != col || p.Path != w.path || !strings.Contains(p.Message+" | "+p.Hint, w.says) {
			t.Errorf("got  %s | %s\nwant %d:%d %s: %s", p.Error(), p.Hint, line, col, w.path, w.says)
		}
	}
}

func TestNotAnObject(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       want
	}{
		{"empty", "§", want{"$", "the file is empty"}},
		{"only spaces", "§ \n ", want{"$", "the file is empty"}},
		{"not JSON", "{\n  \"a\": tru§\n}", want{"$", "not JSON: invalid character"}},
		{"cut off", "{\n  \"a\":§", want{"$", "not JSON: unexpected EOF"}},
		{"two values", "{} §{}", want{"$", "something follows"}},
		{"a comma too much in an array", "{\"a\": [1§,\n ]}", want{"$", "remove the comma"}},
		{"a comma too much in an object", "{\"a\": 1§,\n }", want{"$", "remove the comma"}},
		{"a comma that lacks", "{\"a\": 1\n §\"b\": 2}", want{"$", "not JSON"}},
		{"a comment", "{\n §// a comment\n}", want{"$", "JSON has no comments"}},
		{"single quotes", "{§'a': 1}", want{"$", "double quotes"}},
		{"an array", " §[]", want{"$", "must be an object, got an array"}},
		{"a string", `§"secret"`, want{"$", "must be an object, got a string of length 6"}},
		{"byte order mark", "§\ufeff{}", want{"$", "byte order mark"}},
		{"not UTF-8", "{\n\"a§\xff\": 1}", want{"$", "not UTF-8"}},
		{"UTF-16", "§\xff\xfe{\x00}\x00", want{"$", "not UTF-8"}},
		{"deep", strings.Repeat("[", maxDepth) + "§" + strings.Repeat("[", 9000), want{"$", "deeper than 100 levels"}},
		{"a surrogate", `{"a": "§\ud800hunter2"}`, want{"$", "invalid surrogate pair in string"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(write(t, "config.json", c.text))
			compare(t, c.text, err, []want{c.want})
		})
	}
}

func TestConfigProblems(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	for _, c := range []struct {
		name, text string
		want       []want
	}{
		{"nothing", "§§{}", []want{{"$.controlPlane", "is missing: where bundles come from"}, {"$.hostKeyFile", "is missing: the host's private key, which only a keeper"}}},
		{"an empty control plane", `{"hostKeyFile": "k", "controlPlane": §§§§§{}}`, []want{{"$.controlPlane.source", "is missing"},
			{"$.controlPlane.url", "is missing"}, {"$.controlPlane.hostId", "is missing"}, {"$.controlPlane.tokenFile", "is missing"},
			{"$.controlPlane.signingKey", "is missing"}}},
		{"unknown keys", "{" + plane + ",\n\"hostKeyFile\": \"k\",\n\"statedir\": §\"s\", \"x\": §1, \"heartbeat\": {\"jiter\": §0}}", []want{
			{"$.statedir", "did you mean stateDir?"}, {"$.x", "known keys: controlPlane, hostKeyFile,"}, {"$.heartbeat.jiter", "did you mean jitter?"}}},
		{"odd keys", "{" + plane + ", \"hostKeyFile\": \"k\", \"a.b\": §1, \"\\u001b[2J\\n\": §2, \"" + strings.Repeat("k", 999) + "\": §3}", []want{
			{`$["a.b"]`, "unknown"}, {`$["\x1b[2J\n"]`, "unknown"}, {`$["kkkk..."]`, "unknown"}}},
		{"duplicate keys", "{" + plane + ", \"hostKeyFile\": \"k\",\n\"stateDir\": \"a\",\n \"stateDir\": §\"b\", \"heartbeat\": {\"jitter\": 0, \"jitter\": §9}}", []want{
			{"$.stateDir", "duplicate key \"stateDir\" | it is at 2:13 already"}, {"$.heartbeat.jitter", "duplicate key"}}},
		{"wrong types", "{" + plane + ",\n\"hostKeyFile\": §1, \"heartbeat\": {\"intervalSec\": §\"300\", \"jitter\": §\"lots\"}, \"stateDir\": §null, \"socket\": §[]}", []want{
			{"$.hostKeyFile", "must be a string, got a number"},
			{"$.heartbeat.intervalSec", `must be a number of seconds from 1 to 86400, got "300" | write 300 without the quotes`},
			{"$.heartbeat.jitter", "must be a number from 0 to 0.5, got a string of length 4"},
			{"$.stateDir", "must be a string, got null"}, {"$.socket", "must be a string, got an array"}}},
		{"numbers", "{" + plane + ",\"hostKeyFile\": \"k\", \"heartbeat\": {\"intervalSec\": §0, \"jitter\": §0.6}}", []want{
			{"$.heartbeat.intervalSec", "from 1 to 86400, got 0"}, {"$.heartbeat.jitter", "from 0 to 0.5, got 0.6"}}},
		{"huge numbers", "{" + plane + ",\"hostKeyFile\": \"k\", \"heartbeat\": {\"intervalSec\": §1e999, \"jitter\": §1234567890123}}", []want{
			{"$.heartbeat.intervalSec", "got 1e999"}, {"$.heartbeat.jitter", "got a number of 13 characters"}}},
		{"an object for a string", "{\"controlPlane\": §\"here\", \"hostKeyFile\": \"k\"}", []want{{"$.controlPlane", "must be an object, got a string of length 4"}}},
		{"keeper socket", "{" + plane + ",\n\"keeperSocket\": §\"/" + strings.Repeat("s", 107) + "\", \"uidRange\": §null}", []want{
			{"$.keeperSocket", "108 bytes: a unix socket takes at most 107"}, {"$.uidRange", "an array of two uids, got null"}}},
		{"paths", "{" + plane + ", \"hostKeyFile\": §\"\", \"stateDir\": §\"a\\u0000b\", \"pluginsDir\": §\"credential:x\", \"socket\": §\"/" + strings.Repeat("s", 107) + "\"}", []want{
			{"$.hostKeyFile", "must be a path, got a string of length 0"}, {"$.stateDir", "must be a path"},
			{"$.pluginsDir", "hostKeyFile and tokenFile only"}, {"$.socket", "108 bytes: a unix socket takes at most 107"}}},
		{"credential without systemd", "{" + plane + ",\n\"hostKeyFile\": §\"credential:host.key\"}", []want{{"$.hostKeyFile", "CREDENTIALS_DIRECTORY is not set"}}},
		{"credential with a slash", "{" + plane + ",\n\"hostKeyFile\": §\"credential:../x\"}", []want{{"$.hostKeyFile", "without a slash"}}},
		{"credential dot-dot", "{" + plane + ",\n\"hostKeyFile\": §\"credential:..\"}", []want{{"$.hostKeyFile", "without a slash"}}},
		{"control plane", `{"hostKeyFile": "k", "controlPlane": {"source": §"paperclip", "url": §"http://cp.example", "hostId": §"a/b",
 "tokenFile": §"", "signingKey": §"x"}}`, []want{
			{"$.controlPlane.source", "not built yet: source paperclip"}, {"$.controlPlane.url", "loopback host only | use https"},
			{"$.controlPlane.hostId", "must be an id"}, {"$.controlPlane.tokenFile", "must be a path"},
			{"$.controlPlane.signingKey", "must begin with agent-launcher-signing-key-1:"}}},
		{"pins", "{" + plane + ", \"hostKeyFile\": \"k\", \"plugins\": {\"Upper\": §{}, \"a\": §\"hunter2\", \"b\": §{}, \"c\": {\"sha256\": §\"hunter2\", \"sha\": §1},\n\"d\": {\"sha256\": §\"" + strings.Repeat("a", 63) + "g\"}}}", []want{
			{"$.plugins.Upper", "a name that no plugin has"}, {"$.plugins.a", "must be an object, got a string of length 7 | write {"},
			{"$.plugins.b.sha256", "is missing: the SHA-256 of"}, {"$.plugins.c.sha256", "must be the 64 hex digits of a SHA-256, got a string of length 7 | sha256sum"},
			{"$.plugins.c.sha", "unknown key \"sha\" | known keys: sha256"}, {"$.plugins.d.sha256", "must be the 64 hex"}}},
		{"another source", strings.Replace("{\"hostKeyFile\": \"k\", "+plane+"}", `"sealed"`, `§"vault"`, 1), []want{{"$.controlPlane.source", "must be sealed, got a string of length 5"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(write(t, "config.json", c.text))
			compare(t, c.text, err, c.want)
		})
	}
}

func TestURL(t *testing.T) {
	for url, says := range map[string]string{
		"https://cp.example": "", "https://cp.example:3100/base/": "", "http://127.0.0.1:3100": "", "http://[::1]:1": "", "http://localhost": "",
		"HTTPS://cp.example": "", "": "must be a URL", "cp.example": "must be a URL", "ftp://cp.example": "must be a URL", "https://": "must be a URL",
		"https://:3100": "must be a URL", "https://h:0": "must be a URL", "https://h:99999": "must be a URL", "https:h": "must be a URL", "https://h h": "must be a URL",
		"http://10.0.0.1": "loopback", "http://127.0.0.1.example": "loopback", "http://localhost.example": "loopback",
		"https://u:hunter2@h": "no user", "https://h?token=hunter2": "no user", "https://h#f": "no user", "https://h?": "no user", "http://127.0.0.1@evil.example": "no user",
	} {
		text := `{"hostKeyFile": "k", ` + strings.Replace(plane, `"https://cp.example/"`, `§"`+url+`"`, 1) + "}"
		_, err := Load(write(t, "config.json", text))
		if says == "" {
			if err != nil {
				t.Errorf("%s: %v", url, err)
			}
			continue
		}
		compare(t, text, err, []want{{"$.controlPlane.url", says}})
	}
}

func TestConfigDefaultsAndPaths(t *testing.T) {
	t.Setenv("CREDENTIALS_DIRECTORY", "/run/credentials/x")
	file := write(t, "config.json", "{"+plane+`, "hostKeyFile": "credential:host.key", "stateDir": "../state/", "pluginsDir": "/p/../q", "plugins": {"b": {"sha256": "`+strings.Repeat("0A", 32)+`"}, "a": {"sha256": "`+strings.Repeat("00", 32)+`"}}, "$schema": "s"}`)
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(file)
	for _, x := range []struct{ what, got, want string }{
		{"path", c.Path, file},
		{"url", c.ControlPlane.URL, "https://cp.example"},
		{"hostKeyFile", c.HostKeyFile, "/run/credentials/x/host.key"},
		{"tokenFile", c.ControlPlane.TokenFile, filepath.Join(dir, "t")},
		{"caFile", c.ControlPlane.CAFile, ""},
		{"stateDir", c.StateDir, filepath.Join(filepath.Dir(dir), "state")},
		{"pluginsDir", c.PluginsDir, "/q"},
		{"socket", c.Socket, "/run/agent-launcher/control.sock"},
		{"adaptersDir", c.AdaptersDir, "/etc/agent-launcher/adapters.d"},
	} {
		if x.got != x.want {
			t.Errorf("%s is %q, want %q", x.what, x.got, x.want)
		}
	}
	if c.Heartbeat.Interval != 5*time.Minute || c.Heartbeat.Jitter != 0.1 || len(c.ControlPlane.SigningKey) != 32 {
		t.Errorf("%+v", c)
	}
	if names := c.Pinned(); len(names) != 2 || names[0] != "a" || c.Pins["b"][31] != 10 {
		t.Errorf("pins %v", c.Pins)
	}
	t.Chdir(dir)
	if c, err = Load("config.json"); err != nil || c.Path != file {
		t.Errorf("by a relative path: %+v, %v", c, err)
	}
}

func TestUnreadableFiles(t *testing.T) {
	writable := write(t, "config.json", "{}")
	large := write(t, "config.json", strings.Repeat(" ", maxFile+1))
	if err := os.Chmod(writable, 0o666); err != nil {
		t.Fatal(err)
	}
	for file, says := range map[string]string{
		writable: "can be written by others", large: "limit of 1048576 bytes", t.TempDir(): "not a regular file",
		filepath.Join(t.TempDir(), "none.json"): "no such file", "/dev/zero": "",
	} {
		_, err := Load(file)
		ps, _ := err.(Problems)
		if len(ps) != 1 || ps[0].Line != 1 || ps[0].Col != 1 || ps[0].Path != "$" || !strings.Contains(ps[0].Message, says) {
			t.Errorf("%s: %v", file, err)
		}
		if file == writable && !strings.HasPrefix(ps[0].Hint, "chmod go-w ") {
			t.Errorf("hint %q", ps[0].Hint)
		}
	}
}

// A file that is wrong all over is refused at once and in few words.
func TestManyProblems(t *testing.T) {
	text := "{" + strings.TrimSuffix(strings.Repeat("\"a\": 1,\n", 100_000), ",\n") + "}"
	start := time.Now()
	_, err := Load(write(t, "config.json", text))
	ps, _ := err.(Problems)
	if len(ps) != maxProblems+1 || ps[maxProblems].Message != "99902 more problems" {
		t.Errorf("%d problems, at last %v", len(ps), ps[len(ps)-1])
	}
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %v", d)
	}
}

package masker_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/agent-launcher/agent-launcher/sandbox/masker"
	"github.com/agent-launcher/agent-launcher/sandbox/stage/forms"
	"github.com/agent-launcher/agent-launcher/sandbox/wire"
)

// secret is a value with its name.
type secret struct{ name, value string }

// printsOf are the fingerprints that a stage makes, as a masker reads them.
func printsOf(t testing.TB, secrets ...secret) *wire.Fingerprints {
	t.Helper()
	m := forms.NewMaker(make([]byte, forms.ScratchSize))
	for _, s := range secrets {
		m.Add(s.name, []byte(s.value))
	}
	f := m.Fingerprints()
	if f == nil {
		return &wire.Fingerprints{Multiplier: 1}
	}
	f, err := wire.DecodeFingerprints(f.Encode())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// masked is what comes out when parts are read one after the other.
func masked(t testing.TB, f *wire.Fingerprints, parts ...[]byte) string {
	t.Helper()
	m, held, out := masker.NewMask(f), []byte{}, []byte{}
	emit := func(p []byte) { out = append(out, p...) }
	for _, p := range parts {
		data := slices.Concat(held, p)
		held = data[m.Feed(data, false, emit):]
		if len(held) > masker.MaxHeld {
			t.Fatalf("%d bytes are held back", len(held))
		}
	}
	if n := m.Feed(held, true, emit); n != len(held) {
		t.Fatalf("%d of %d bytes at the end", n, len(held))
	}
	return string(out)
}

const (
	token = "tk-9f/8+Qw?7~Zk\"2é&<vA lX5" // differs in every encoding
	pem   = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDC7uXkQ1p0aBcD\nq83hZk20fjs7wKq8d0sL3mVn1rPzYxTtWu5oIe4kJbGh6aXcNf9yRvMl2CEdOi7S\nshort==\n-----END KEY-----\n"
)

// wrapped is base64 with a line break after every width characters.
func wrapped(text, lineBreak string, width int) string {
	var out strings.Builder
	for i := 0; i < len(text); i += width {
		out.WriteString(text[i:min(i+width, len(text))] + lineBreak)
	}
	return out.String()
}

func jsonOf(s string) string { b, _ := json.Marshal(s); return string(b[1 : len(b)-1]) }

// printed are the forms of a value as programs print them, and what must be left.
func printed(value string) map[string][2]string {
	const all = "[redacted:V]"
	out := map[string][2]string{
		"raw":             {value, all},
		"hex":             {hex.EncodeToString([]byte(value)), all},
		"HEX":             {strings.ToUpper(hex.EncodeToString([]byte(value))), all},
		"URL, query":      {url.QueryEscape(value), all},
		"URL, path":       {strings.ReplaceAll(url.QueryEscape(value), "+", "%20"), all},
		"JSON, Go":        {jsonOf(value), all},
		"JSON, JS":        {strings.NewReplacer(`"`, `\"`, "\n", `\n`).Replace(value), all},
		"JSON, ASCII":     {strings.NewReplacer(`"`, `\"`, "\n", `\n`, "é", `\u00e9`).Replace(value), all},
		"URL, components": {strings.NewReplacer("%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*", "+", "%20").Replace(url.QueryEscape(value)), all},
	}
	for alphabet, e := range map[string]*base64.Encoding{"std": base64.StdEncoding, "url": base64.URLEncoding, "raw": base64.RawStdEncoding} {
		out["base64 "+alphabet] = [2]string{e.EncodeToString([]byte(value)), all}
	}
	return out
}

// TestForms: every form, whole and cut at every byte, with text around it, at the
// end of the stream, and over the end of a large read.
func TestForms(t *testing.T) {
	for _, value := range []string{token, "12345678", "sk-ant-REDACTED", pem} {
		f := printsOf(t, secret{"V", value})
		for name, x := range printed(value) {
			for _, around := range [][2]string{{"", ""}, {"token: ", "\nand more, much more than waits\n"}, {"\n", ""}} {
				text, want := around[0]+x[0]+around[1], around[0]+x[1]+around[1]
				if got := masked(t, f, []byte(text)); got != want {
					t.Errorf("%s of %q: %q becomes %q, want %q", name, value, text, got, want)
				}
				for i := range len(text) {
					if got := masked(t, f, []byte(text[:i]), []byte(text[i:])); got != want {
						t.Fatalf("%s of %q, cut at %d: %q", name, value, i, got)
					}
				}
				filler := strings.Repeat("lorem ipsum ", Chunk/12+1)
				for _, i := range []int{1, 7, 8, len(x[0]) - 1} {
					all := filler[:Chunk-len(around[0])-i] + text
					got := masked(t, f, []byte(all[:Chunk]), []byte(all[Chunk:]))
					if got != filler[:Chunk-len(around[0])-i]+want {
						t.Errorf("%s of %q over the end of a read, %d before: %q", name, value, i, got[len(got)-200:])
					}
				}
			}
		}
	}
}

// TestBase64Within: a value inside of something that is encoded as a whole, at
// every alignment, in lines of every phase. No character that encodes a bit of
// the value stays.
func TestBase64Within(t *testing.T) {
	const value = "correct-horse/battery+staple?"
	f := printsOf(t, secret{"V", value})
	for before := range 120 {
		for _, behind := range []string{"", "x", "xy", "xyz", strings.Repeat("behind ", 20)} {
			plain := strings.Repeat("b", before) + value + behind
			first, last := before*8/6, ((before+len(value))*8-1)/6 // characters with a bit of it
			for name, e := range map[string]*base64.Encoding{"std": base64.StdEncoding, "url": base64.URLEncoding, "raw": base64.RawURLEncoding} {
				text := e.EncodeToString([]byte(plain))
				for _, layout := range []struct {
					lineBreak string
					width     int
				}{{"", 1 << 20}, {"\n", 76}, {"\r\n", 76}, {"\n", 64}} {
					in := wrapped(text, layout.lineBreak, layout.width)
					got := masked(t, f, []byte(in))
					i := strings.Index(got, "[redacted:V]")
					if i < 0 || strings.Count(got, "[") != 1 {
						t.Fatalf("%s, %d before, %q, width %d: %q", name, before, behind, layout.width, got)
					}
					head, tail := unwrapped(got[:i]), strings.TrimRight(unwrapped(got[i+12:]), "=")
					if head != text[:first] || tail != strings.TrimRight(text[last+1:], "=") {
						t.Fatalf("%s, %d before, %q, width %d: %q", name, before, behind, layout.width, got)
					}
					if again := masked(t, f, slices.Collect(slices.Chunk([]byte(in), 1))...); again != got {
						t.Fatalf("byte by byte: %q, at once: %q", again, got)
					}
				}
			}
		}
	}
}

func unwrapped(s string) string { return strings.NewReplacer("\r", "", "\n", "").Replace(s) }

func TestMask(t *testing.T) {
	a, b := secret{"A", "abcdefghijkl"}, secret{"B", "ghijklmnopqr"}
	long := secret{"LONG", a.value + "-and-more"}
	key := secret{"KEY", pem}
	lines := strings.SplitAfter(pem, "\n")
	for name, x := range map[string]struct {
		secrets  []secret
		in, want string
	}{
		"nothing":                    {nil, "output\n", "output\n"},
		"too short":                  {[]secret{{"S", "1234567"}}, "1234567\n", "1234567\n"},
		"twice":                      {[]secret{a}, "abcdefghijkl abcdefghijkl", "[redacted:A] [redacted:A]"},
		"overlapping":                {[]secret{a, b}, "<abcdefghijklmnopqr>", "<[redacted:A][redacted:B]>"},
		"prefix of another":          {[]secret{a, long}, a.value + " " + long.value + ".", "[redacted:A] [redacted:LONG]."},
		"prefix, and not the other":  {[]secret{a, long}, a.value + "-and-less.", "[redacted:A]-and-less."},
		"one value, two names":       {[]secret{a, {"Z", a.value}}, a.value, "[redacted:A]"},
		"same beginning":             {[]secret{a}, "abcdefghijkL abcdefghijk.", "abcdefghijkL abcdefghijk."},
		"beginning at the end":       {[]secret{a}, "see abcdefghij", "see [redacted:A]"},
		"too little of it":           {[]secret{a}, "see abcdefg", "see abcdefg"},
		"key":                        {[]secret{key}, "k=" + pem + "ok\n", "k=[redacted:KEY]ok\n"},
		"key without the last break": {[]secret{key}, strings.TrimSpace(pem) + "; ok, and some more of it\n", "[redacted:KEY]; ok, and some more of it\n"},
		"key, indented": {[]secret{key}, "  " + strings.Join(lines, "  ") + strings.Repeat("ok\n", 200),
			"  [redacted:KEY]\n  [redacted:KEY]\n  [redacted:KEY]\n  short==\n  [redacted:KEY]\n  " + strings.Repeat("ok\n", 200)},
		"one line of it": {[]secret{key}, lines[1] + strings.Repeat("ok\n", 200), "[redacted:KEY]\n" + strings.Repeat("ok\n", 200)},
		"breaks early":   {[]secret{{"E", "ab\ncd\nefgh"}}, "x\nab\ncd\nefgh\nab\n", "x\n[redacted:E]\nab\n"},
		"end to end":     {[]secret{{"N", "12345678\n"}}, "12345678\n12345678\n", "[redacted:N]"},
		"all alike":      {[]secret{{"R", "aaaaaaaaaaaa"}}, strings.Repeat("a", 100), "[redacted:R]"},
	} {
		f := printsOf(t, x.secrets...)
		if got := masked(t, f, []byte(x.in)); got != x.want {
			t.Errorf("%s: %q becomes %q, want %q", name, x.in, got, x.want)
		}
		if got := masked(t, f, slices.Collect(slices.Chunk([]byte(x.in), 1))...); got != x.want {
			t.Errorf("%s, byte by byte: %q becomes %q, want %q", name, x.in, got, x.want)
		}
	}
}

// TestLarge: what is larger than can wait is masked in pieces, also a part of it.
func TestLarge(t *testing.T) {
	value := strings.Repeat("\x01", 3) + letters(1<<20-6) + "end"
	f := printsOf(t, secret{"V", value})
	t.Logf("%d forms, %d prefixes, %d bytes", len(f.Forms), len(f.Prefixes), len(f.Encode()))
	for name, in := range map[string]string{
		"raw": value, "hex": hex.EncodeToString([]byte(value)),
		"base64":          base64.StdEncoding.EncodeToString([]byte(value)),
		"base64 in lines": wrapped(base64.StdEncoding.EncodeToString([]byte("xy"+value)), "\n", 76),
	} {
		got := masked(t, f, slices.Collect(slices.Chunk([]byte("it is "+in+" .\n"), Chunk))...)
		if !strings.HasPrefix(got, "it is ") || len(got) > 40 || strings.Count(got, "[redacted:V]") != 1 {
			t.Errorf("%s: %d bytes: %.200q", name, len(got), got)
		}
	}
	part := value[100_000:200_000]
	if got := masked(t, f, []byte("."+part+".")); len(got) > 200 {
		t.Errorf("a part: %d bytes: %.300q", len(got), got)
	}
}

func letters(n int) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 \n"[rand.IntN(64)]
	}
	return string(out)
}

// TestProperty: how a stream is cut makes no difference, and one without values
// comes out as it went in.
func TestProperty(t *testing.T) {
	for range 300 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		secrets, pieces := []secret{}, []string{"\n", "\r\n", "=", "x", "some text ", strings.Repeat("A", 70)}
		for i := range 1 + r.IntN(5) {
			value := letters(8 + r.IntN(60))
			secrets = append(secrets, secret{fmt.Sprintf("V%d", i), value})
			b := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("y", r.IntN(90)) + value + "zz"))
			pieces = append(pieces, value, value[:len(value)-1], value[1:], value[:8], b, wrapped(b, "\n", 76), wrapped(b, "\r\n", 64), jsonOf(value))
		}
		f := printsOf(t, secrets...)
		var in []byte
		for range 20 {
			in = append(in, pieces[r.IntN(len(pieces))]...)
		}
		in = append(in, "the end of it\n"...)
		want := masked(t, f, in)
		var parts [][]byte
		for rest := in; len(rest) > 0; {
			n := min(1+r.IntN(1+r.IntN(80)), len(rest))
			parts, rest = append(parts, rest[:n]), rest[n:]
		}
		if got := masked(t, f, parts...); got != want {
			t.Fatalf("seed %d: %q\nat once %q\nin parts %q", seed, in, want, got)
		}
		for _, s := range secrets {
			if strings.Contains(want, s.value) {
				t.Fatalf("seed %d: %q in %q", seed, s.value, want)
			}
		}
		noise := random(1 + r.IntN(3000))
		if got := masked(t, f, noise, []byte(strings.Repeat(".", 300))); got != string(noise)+strings.Repeat(".", 300) {
			t.Fatalf("seed %d: noise is changed", seed)
		}
	}
}

// TestPrompt: fewer than 8 bytes wait; a line that is whole does not.
func TestPrompt(t *testing.T) {
	f := printsOf(t, secret{"V", "some-secret-value"})
	for in, waits := range map[string]int{"Password: ": 7, "y/n?": 4, "done\n": 0, "a whole line\n": 0, "some-secret-": 12, "some-secret-\n": 13,
		"longer, and then some-sec": 8, strings.Repeat("Q", 76) + "\n": 8} {
		var out bytes.Buffer
		n := masker.NewMask(f).Feed([]byte(in), false, func(p []byte) { out.Write(p) })
		if len(in)-n != waits || out.String() != in[:n] {
			t.Errorf("%q: %d bytes wait, want %d; out came %q", in, len(in)-n, waits, out.String())
		}
	}
}

// FuzzMask: whatever an agent prints, and however it is cut, comes out the same,
// without the value, and little of it waits.
func FuzzMask(f *testing.F) {
	f.Add([]byte("some-secret"), []byte("it is some-secret\n"), uint8(3))
	f.Add([]byte(pem), []byte(wrapped(base64.StdEncoding.EncodeToString([]byte("x"+pem)), "\r\n", 76)), uint8(7))
	f.Add([]byte("aaaaaaaaaaaaaaaaaaa"), []byte("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), uint8(0))
	f.Fuzz(func(t *testing.T, value, output []byte, size uint8) {
		prints := printsOf(t, secret{"V", string(value)})
		want := masked(t, prints, output)
		if got := masked(t, prints, slices.Collect(slices.Chunk(output, 1+int(size)))...); got != want {
			t.Errorf("%q of %q, in parts of %d: %q, at once: %q", value, output, 1+int(size), got, want)
		}
		if len(value) >= wire.PrefixSize && strings.Contains(strings.ReplaceAll(want, "[redacted:V]", "\x00"), string(value)) && !bytes.Contains(value, []byte{0}) {
			t.Errorf("%q of %q: %q", value, output, want)
		}
	})
}

// Output that begins like hundreds of lines of a value, again and again, costs
// a bounded time and no memory; it is masked, and what follows is as ever.
func TestManyBeginnings(t *testing.T) {
	line := func(i int) string {
		return fmt.Sprintf("SAMEHEAD-%05d-%.15x", i, sha256.Sum256([]byte{byte(i), byte(i >> 8)}))
	}
	var lines []string
	for i := range 1000 {
		lines = append(lines, line(i))
	}
	f := printsOf(t, secret{"KEY", strings.Join(lines, "\n")}, secret{"TOKEN", token})
	after := strings.Repeat("nothing to see here\n", 400)
	for name, output := range map[string]string{
		"again and again":    strings.Repeat("SAMEHEAD", 20_000) + after + token + after,
		"lines of the value": strings.Join(lines, "\n") + "\n" + after,
	} {
		got := masked(t, f, slices.Collect(slices.Chunk([]byte(output), 64<<10))...)
		if strings.Contains(got, token) || strings.Contains(got, "SAMEHEAD-0") {
			t.Errorf("%s: %.100q ... %q", name, got, got[max(0, len(got)-100):])
		}
		if !strings.Contains(got, after[len(after)/2:len(after)-200]) { // what is undecided at the end is masked
			t.Errorf("%s: what follows is %.200q", name, got)
		}
	}
	for _, blank := range []string{strings.Repeat(" ", 12) + "value", strings.Repeat(" ", 100) + "value"} {
		if got := masked(t, printsOf(t, secret{"BLANK", blank}), []byte("x"+blank+"x")); got != "x[redacted:BLANK]x" {
			t.Errorf("a value that begins with %d spaces: %q", len(blank)-5, got)
		}
	}
}

// A line of 16 bytes counts with what indents it.
func TestShortIndentedLine(t *testing.T) {
	f := printsOf(t, secret{"V", "first line of the value\n          pin: 4711\nlast"})
	if got := masked(t, f, []byte("it is\n          pin: 4711\n.")); got != "it is\n[redacted:V]\n." {
		t.Errorf("%q", got)
	}
}

// Text that is indented like a value takes no time, and passes; the value does
// not, however it is cut and escaped.
func TestIndented(t *testing.T) {
	var lines []string
	for i := range 80 {
		lines = append(lines, fmt.Sprintf("%*s\"f%d\": \"%.10x\",", 30+i%9, "", i, sha256.Sum256([]byte{byte(i), byte(i >> 8)})))
	}
	value := "{\n" + strings.Join(lines, "\n") + "\n}"
	f := printsOf(t, secret{"JSON", value})
	for _, n := range []int{1, 7, 64, 65, 4096} {
		chunks := func(s string) [][]byte { return slices.Collect(slices.Chunk([]byte(s), n)) }
		for _, output := range []string{value, jsonOf(value), "x" + value + "x", strings.Repeat(" ", 200) + value} {
			got := masked(t, f, chunks(output)...)
			for i := range 80 {
				if hash := fmt.Sprintf("%.10x", sha256.Sum256([]byte{byte(i), byte(i >> 8)})); strings.Contains(got, hash) {
					t.Fatalf("pieces of %d: line %d passes in %d bytes of %d", n, i, len(got), len(output))
				}
			}
		}
		if text := strings.Repeat(" ", 100_000); masked(t, f, chunks(text)...) != text {
			t.Errorf("pieces of %d: spaces are masked", n)
		}
	}
}

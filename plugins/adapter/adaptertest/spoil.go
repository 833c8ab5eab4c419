package adaptertest

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
)

func pieces(s string, rnd *rand.Rand) (out [][]byte) {
	for len(s) > 0 {
		n := min(len(s), 1+rnd.IntN(1+rnd.IntN(2000)))
		out = append(out, []byte(s[:n]))
		s = s[n:]
	}
	return out
}

// spoiled are variations of an output.
func spoiled(output string, rnd *rand.Rand) []string {
	out := []string{"", "\n", "{", "null\n", "{}\n", "\x00\xff\n", strings.Repeat("[", 100_000) + "\n", strings.Repeat("x", 3<<20), output + output}
	lines := strings.SplitAfter(output, "\n")
	for range 20 {
		out = append(out, output[:rnd.IntN(len(output)+1)])
		i, j := rnd.IntN(len(lines)), rnd.IntN(len(lines))
		swapped := slices.Clone(lines)
		swapped[i], swapped[j] = swapped[j], swapped[i]
		out = append(out, strings.Join(swapped, ""), strings.Join(slices.Delete(swapped, i, i+1), ""))
		noise := []byte(output)
		for range len(noise) / 20 {
			noise[rnd.IntN(len(noise))] = byte(rnd.IntN(256))
		}
		out = append(out, string(noise))
	}
	for i, line := range lines {
		for _, odd := range oddLines(line, rnd) {
			changed := slices.Clone(lines)
			changed[i] = odd + "\n"
			out = append(out, strings.Join(changed, ""))
		}
	}
	return out
}

// oddLines are a few of the values near to that of a line of JSON.
func oddLines(line string, rnd *rand.Rand) []string {
	var value any
	if json.Unmarshal([]byte(line), &value) != nil {
		return nil
	}
	const most = 20
	var out []string
	seen := 0
	vary(value, func(v any) {
		seen++
		at := len(out)
		if at == most { // a fair choice of those that came so far
			if at = rnd.IntN(seen); at >= most {
				return
			}
			out = slices.Delete(out, at, at+1)
		}
		text, err := json.Marshal(v)
		if err == nil {
			out = append(out, strings.ReplaceAll(string(text), "1e+300", "1e999"))
		}
	})
	return out
}

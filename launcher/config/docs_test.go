package config

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

const docsFile = "../../docs/config.md"

// docs/config.md holds tables of every key, made from the descriptions that the
// readers and the schemas come from. UPDATE_DOCS=1 writes them anew.
func TestDocs(t *testing.T) {
	data, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for kind, fields := range map[string][]field{"config.json": configShape(&Config{}), "adapter file": agentShape(newReading(&Agent{}))} {
		begin, end := "<!-- keys of "+kind+": generated -->\n", "<!-- end -->"
		before, rest, ok := strings.Cut(text, begin)
		_, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no place for the keys of %s", docsFile, kind)
		}
		text = before + begin + table(fields) + end + after
	}
	if text == string(data) {
		return
	}
	if os.Getenv("UPDATE_DOCS") != "1" {
		t.Fatalf("%s is out of date: UPDATE_DOCS=1 go test ./launcher/config -run TestDocs", docsFile)
	}
	if err := os.WriteFile(docsFile, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func table(fields []field) string {
	rows, unused := rows("", fields)
	out := "\n| key | value | default | |\n|---|---|---|---|\n" + rows + "\n"
	if len(unused) > 0 {
		out += "Accepted and not used, so that a Paperclip record can be pasted: " + strings.Join(unused, ", ") + ".\n\n"
	}
	return out
}

func rows(prefix string, fields []field) (out string, unused []string) {
	for _, f := range fields {
		name := "`" + prefix + f.name + "`"
		if f.typ == "" && !f.later && f.set == nil {
			unused = append(unused, name)
			continue
		}
		def := fmt.Sprint(f.schema["default"])
		switch {
		case f.required:
			def = "required"
		case f.schema["default"] == nil:
			def = ""
		case f.typ == "string":
			def = "`" + def + "`"
		}
		out += fmt.Sprintf("| %s | %s | %s | %s |\n", name, valueOf(f), def, strings.ReplaceAll(f.doc, "|", "\\|"))
		below, more := rows(prefix+f.name+".", f.sub)
		out, unused = out+below, append(unused, more...)
	}
	return out, unused
}

// valueOf says what a key takes, in few words.
func valueOf(f field) string {
	words, _ := f.schema["enum"].([]string)
	switch {
	case f.later:
		return "none yet"
	case len(words) > 0:
		return "`" + strings.Join(words, "`, `") + "`"
	case f.want == "a whole number":
		return fmt.Sprintf("a whole number from %v", f.schema["minimum"])
	case f.want != "":
		return f.want
	}
	return map[string]string{"string": "a string", "boolean": "`true` or `false`", "object": "an object"}[f.typ]
}

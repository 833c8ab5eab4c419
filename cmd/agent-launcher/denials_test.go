package main

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// The words of shells, libc, Python, node, Go, Java and Rust.
func TestDenials(t *testing.T) {
	for line, want := range map[string]string{
		"cat: /srv/data: Permission denied":                                   "[/srv/data] []",
		"bash: line 1: /srv/out.txt: Permission denied":                       "[/srv/out.txt] []",
		"PermissionError: [Errno 13] Permission denied: '/srv/my data/x.csv'": "[/srv/my data/x.csv] []",
		"Error: EACCES: permission denied, open '/srv/data'":                  "[/srv/data] []",
		"Error: EPERM: operation not permitted, rename '/srv/a' -> '/srv/b'":  "[/srv/a /srv/b] []",
		"open /srv/data: permission denied":                                   "[/srv/data] []",
		`java.io.FileNotFoundException: /srv/data (Permission denied)`:        "[/srv/data] []",
		"connect EACCES 127.0.0.1:5432 - Local":                               "[] [5432]",
		"dial tcp [::1]:443: connect: permission denied":                      "[] [443]",
		"fetch https://example.org/x: operation not permitted":                "[] []",
		"cannot create directory ‘/srv/x’: Permission denied":                 "[/srv/x] []",
		"path=/etc/shadow EACCES":                                             "[/etc/shadow] []",
		"/srv/data is fine":                                                   "[] []",
		"Permission denied":                                                   "[] []",
		"open '/a\x1b[2Jb': EACCES":                                           "[] []",
		"connect EACCES 127.0.0.1:99999":                                      "[] []",
		"EACCES /" + strings.Repeat("x", 5000):                                "[] []",
		"EACCES /b\nEACCES /a\nEACCES /b":                                     "[/a /b] []",
		strings.Repeat("EACCES /same\n", 1000):                                "[/same] []",
	} {
		got := denials([]byte(line))
		if s := fmt.Sprintf("%v %v", got.Paths, got.Ports); s != want {
			t.Errorf("%.80q: %s, want %s", line, s, want)
		}
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "EACCES /%d /%d-\n", i, i)
	}
	if got := denials([]byte(many.String())).Paths; len(got) != maxDenials || got[len(got)-1] != "/99" && got[len(got)-1] != "/99-" {
		t.Errorf("%q", got)
	}
}

func TestTail(t *testing.T) {
	log := &tail{max: 4}
	for _, s := range []string{"", "ab", "cdefghijk", "l", "mn"} {
		if n, err := log.Write([]byte(s)); n != len(s) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if !reflect.DeepEqual(log.bytes(), []byte("klmn")) || len(log.data) > 8 {
		t.Errorf("%q of %q", log.bytes(), log.data)
	}
}

package wire

import "testing"

func TestParseUser(t *testing.T) {
	for who, want := range map[string]bool{
		"": true, "1:2": true, "61184:61184": true, "1:0": true, "4294967294:4294967294": true,
		"0:0": false, "0:1": false, "1": false, "1:": false, ":1": false, "-1:1": false, "1:-1": false, "4294967295:1": false, "1:4294967295": false,
		"4294967296:1": false, "1:1:1": false, " 1:1": false, "root:root": false,
	} {
		if u, ok := ParseUser(who); ok != want || ok && (u == nil) != (who == "") {
			t.Errorf("%q: %v, %t", who, u, ok)
		}
	}
}

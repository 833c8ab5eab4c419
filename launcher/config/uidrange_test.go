package config

import "testing"

func TestUIDRange(t *testing.T) {
	for _, c := range []struct {
		text string
		want []want
	}{
		{"[61184, 65519]", nil}, {"[1, 2]", nil}, {"[1, 65533]", nil}, {"[65536, 4294967293]", nil}, {"[4294967292, 4294967293]", nil},
		{"§[]", []want{{"$.uidRange", "two uids, got 0 items"}}},
		{"§[1, 2, 3]", []want{{"$.uidRange", "got 3 items"}}},
		{"[§0, 2]", []want{{"$.uidRange[0]", "from 1 to 4294967293, got a number"}}},
		{"[§-1, §4294967294]", []want{{"$.uidRange[0]", "from 1"}, {"$.uidRange[1]", "from 1"}}},
		{"[§\"1\", §1.5]", []want{{"$.uidRange[0]", "got a string of length 1"}, {"$.uidRange[1]", "from 1"}}},
		{"[1, §18446744073709551617]", []want{{"$.uidRange[1]", "from 1"}}},
		{"§[7, 7]", []want{{"$.uidRange", "must go upwards, got [7, 7] | two uids at least"}}},
		{"§[9, 7]", []want{{"$.uidRange", "upwards"}}},
		{"§[60000, 65534]", []want{{"$.uidRange", "nobody"}}}, {"§[65535, 70000]", []want{{"$.uidRange", "nobody"}}}, {"§[1, 70000]", []want{{"$.uidRange", "nobody"}}},
		{"§{}", []want{{"$.uidRange", "an array of two uids, got an object"}}},
	} {
		text := "{" + plane + `, "keeperSocket": "/k.sock", "uidRange": ` + c.text + "}"
		cfg, err := Load(write(t, "config.json", text))
		if c.want != nil {
			compare(t, text, err, c.want)
		} else if err != nil || cfg.UIDRange.String() != c.text || cfg.KeeperSocket != "/k.sock" || cfg.HostKeyFile != "" {
			t.Errorf("%s: %+v, %v", c.text, cfg, err)
		}
	}
	r := UIDRange{First: 10, Last: 12}
	if r.Agents() != 2 || r.Masker() != 12 || r.Holds(9) || !r.Holds(10) || !r.Holds(11) || r.Holds(12) {
		t.Errorf("%+v", r)
	}
}

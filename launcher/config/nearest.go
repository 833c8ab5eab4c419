package config

import "strings"

// nearest is the known key that was probably meant, or empty: at most two
// letters away, and less than half of the key.
func nearest(key string, fields []field) string {
	best, distance := "", min(3, (len(key)+1)/2)
	for _, f := range fields {
		if gap := len(key) - len(f.name); gap > 2 || gap < -2 {
			continue
		}
		if n := edits(strings.ToLower(key), strings.ToLower(f.name)); n < distance {
			best, distance = f.name, n
		}
	}
	return best
}

// edits is the Levenshtein distance in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replace := diagonal
			if a[i] != b[j] {
				replace++
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, replace)
		}
	}
	return row[len(b)]
}

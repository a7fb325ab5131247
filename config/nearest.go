package config

import "strings"

// maxKey is longer than any key: what is longer is no misspelt one.
const maxKey = 64

// nearest returns the known key that was probably meant, or nothing.
func nearest(key string, known []field) string {
	if len(key) > maxKey {
		return ""
	}
	best, bestDistance := "", maxKey
	name := key[strings.LastIndex(key, ".")+1:]
	for _, f := range known {
		// The right name in the wrong section is as near as it gets.
		d := min(distance(key, f.key()), distance(name, f.name)+1)
		if d < bestDistance {
			best, bestDistance = f.key(), d
		}
	}
	if bestDistance > max(2, len(name)/3) {
		return ""
	}
	return best
}

// distance is Levenshtein's: the letters to insert, remove or replace.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

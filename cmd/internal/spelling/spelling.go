// Package spelling guesses which word was meant.
package spelling

// Nearest returns the word of a list that is fewest edits away from s, if those are
// at most a third of it; else nothing.
func Nearest(s string, list []string) string {
	best, least := "", len(s)/3+1
	for _, w := range list {
		if d := distance(s, w); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance is the number of bytes to insert, remove or replace to get from a to b
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

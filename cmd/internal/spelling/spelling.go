// Package spelling guesses which word was meant.
package spelling

// Nearest returns the word of a list that is fewest edits away from s, if those are
// at most a third of it; else nothing.
func Nearest(s string, list []string) string {
	best, least := "", min(len(s)/3+1, 10)
	for _, w := range list {
		if len(s)-len(w) >= least {
			continue // as it would be, after long work
		}
		if d := distance(s, w); d < least {
			best, least = w, d
		}
	}
	return best
}

// distance is the number of bytes to insert, remove or replace, and of neighbours to
// exchange, to get from a to b (the optimal string alignment of Damerau and Levenshtein).
func distance(a, b string) int {
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			replace := row[j]
			if a[i] != b[j] {
				replace++
			}
			next[j+1] = min(next[j]+1, row[j+1]+1, replace)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return row[len(b)]
}

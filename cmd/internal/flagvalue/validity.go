package flagvalue

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// maxValidity bounds how long somebody's word may count: nobody's does for a
// hundred years.
const maxValidity = 100 * 365 * day

const day = 24 * time.Hour

// Validity is how long something counts, written as days (90d) or as Go writes
// durations (36h).
type Validity time.Duration

// Set takes what s says.
func (v *Validity) Set(s string) error {
	var d time.Duration
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 31)
		if err != nil {
			return fmt.Errorf("%q is not a number of days", days)
		}
		d = time.Duration(min(n, uint64(maxValidity/day)+1)) * day
	} else {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			return fmt.Errorf("%q is neither days (90d) nor a duration (36h)", s)
		}
	}
	switch {
	case d <= 0:
		return fmt.Errorf("%s is over already", s)
	case d > maxValidity:
		return fmt.Errorf("%s is more than a hundred years", s)
	}
	*v = Validity(d)
	return nil
}

// String returns days if it is whole ones.
func (v *Validity) String() string {
	if d := time.Duration(*v); d%day != 0 {
		return d.String()
	}
	return strconv.FormatInt(int64(time.Duration(*v)/day), 10) + "d"
}

// Type names the value in help texts.
func (*Validity) Type() string { return "TIME" }

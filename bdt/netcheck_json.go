package bdt

import (
	"encoding/json"
	"time"

	"github.com/bdtnet/bdt/identity"
)

// In JSON durations are milliseconds, null where there is none, and a super node is the text of
// its reference. What is written is read back.

// Each plain type is one without its methods.
type (
	plainReport NetReport
	plainSN     SNReach
	plainReach  Reach
)

type jsonReport struct {
	*plainReport
	Took milliseconds `json:"took_ms"`
}

type jsonSN struct {
	Ref string `json:"sn"`
	*plainSN
}

type jsonReach struct {
	*plainReach
	RTT *milliseconds `json:"rtt_ms"`
}

// milliseconds is a duration as scripts read it.
type milliseconds float64

func inMilliseconds(d time.Duration) milliseconds {
	return milliseconds(d.Microseconds()) / 1000
}

func (m milliseconds) duration() time.Duration {
	return time.Duration(m * milliseconds(time.Millisecond))
}

// MarshalJSON implements [json.Marshaler].
func (r NetReport) MarshalJSON() ([]byte, error) {
	p := plainReport(r)
	return json.Marshal(jsonReport{&p, inMilliseconds(r.Took)})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (r *NetReport) UnmarshalJSON(b []byte) error {
	v := jsonReport{plainReport: (*plainReport)(r)}
	err := json.Unmarshal(b, &v)
	r.Took = v.Took.duration()
	return err
}

// MarshalJSON implements [json.Marshaler].
func (r SNReach) MarshalJSON() ([]byte, error) {
	p := plainSN(r)
	return json.Marshal(jsonSN{r.Ref.String(), &p})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (r *SNReach) UnmarshalJSON(b []byte) error {
	v := jsonSN{plainSN: (*plainSN)(r)}
	err := json.Unmarshal(b, &v)
	if err == nil {
		r.Ref, err = identity.ParseRef(v.Ref)
	}
	return err
}

// MarshalJSON implements [json.Marshaler].
func (r Reach) MarshalJSON() ([]byte, error) {
	p := plainReach(r)
	v := jsonReach{plainReach: &p}
	if r.RTT > 0 {
		ms := inMilliseconds(r.RTT)
		v.RTT = &ms
	}
	return json.Marshal(v)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (r *Reach) UnmarshalJSON(b []byte) error {
	v := jsonReach{plainReach: (*plainReach)(r)}
	err := json.Unmarshal(b, &v)
	r.RTT = 0
	if v.RTT != nil {
		r.RTT = v.RTT.duration()
	}
	return err
}

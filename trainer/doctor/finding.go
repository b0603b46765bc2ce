package doctor

import "fmt"

// Status is how serious a finding is.
type Status string

const (
	OK   Status = "ok"
	Warn Status = "warn" // a run works, but not as well as it could
	Fail Status = "fail" // no run works
)

// Finding is what one check found.
type Finding struct {
	Check  string `json:"check"`
	Status Status `json:"status"`
	Found  string `json:"found"`
	// Remedy is what to do; empty where nothing need be done.
	Remedy string `json:"remedy,omitempty"`
}

// Failed counts the findings that stop a run.
func Failed(findings []Finding) (n int) {
	for _, f := range findings {
		if f.Status == Fail {
			n++
		}
	}
	return n
}

// report collects findings.
type report []Finding

func (r *report) ok(check, found string, args ...any) {
	*r = append(*r, Finding{Check: check, Status: OK, Found: fmt.Sprintf(found, args...)})
}

func (r *report) add(status Status, check, remedy, found string, args ...any) {
	*r = append(*r, Finding{Check: check, Status: status, Found: fmt.Sprintf(found, args...), Remedy: remedy})
}

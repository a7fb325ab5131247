package metrics

import (
	"math"
	"strings"
	"testing"
)

func TestPrometheusReadsWhatIsWritten(t *testing.T) {
	var b strings.Builder
	err := Write(&b, []Family{
		One("a_total", "How often.\nTwo lines.", Counter, 3),
		{Name: "none", Help: "left out", Type: Gauge},
		{Name: "b", Help: "Room.", Type: Gauge, Samples: []Sample{
			{Labels: []Label{{"path", `/srv/"x"\y` + "\n"}, {"kind", "k"}}, Value: math.Inf(1)},
			{Labels: []Label{{"path", "/b"}}, Value: 1.5e9},
		}},
	})
	want := "# HELP a_total How often.\\nTwo lines.\n# TYPE a_total counter\na_total 3\n" +
		"# HELP b Room.\n# TYPE b gauge\n" +
		`b{path="/srv/\"x\"\\y\n",kind="k"} +Inf` + "\n" + `b{path="/b"} 1.5e+09` + "\n"
	if err != nil || b.String() != want {
		t.Errorf("%v\n%s\nwanted\n%s", err, b.String(), want)
	}
}

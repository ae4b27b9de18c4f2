package event_test

import (
	"encoding/json"
	"testing"

	"github.com/mailwright/mailwright/pkg/event"
)

// TestEveryFormOfAnIntegerIsThatInteger: what the schemas accept, the data types read, and as the
// same number.
func TestEveryFormOfAnIntegerIsThatInteger(t *testing.T) {
	t.Parallel()
	for _, number := range []string{"100", "100.0", "1e2", "1.0E+2", "10000e-2"} {
		var read event.DelegationReadData
		var sync event.InventorySyncData
		for eventType, into := range map[string]any{event.TypeDelegationRead: &read, event.TypeInventorySync: &sync} {
			e, err := event.New("1", "/test", eventType, []byte(`{"pageSize":`+number+`}`))
			if err != nil {
				t.Fatal(err)
			}
			faults := event.Check(e)
			if err := json.Unmarshal(e.Data(), into); err != nil || len(faults) > 0 {
				t.Errorf("%s %s: %v, %v", eventType, number, faults, err)
			}
		}
		if read.PageSize != 100 || sync.PageSize != 100 {
			t.Errorf("%s: %d, %d", number, read.PageSize, sync.PageSize)
		}
	}
}

func TestIntRefusesWhatIsNoInteger(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`1.5`, `"1"`, `1e19`, `1e-1`, `true`, `[1]`, `111111111111111111111111111111111`} {
		i := event.Int(7)
		if err := json.Unmarshal([]byte(text), &i); err == nil || i != 7 {
			t.Errorf("%s: %d, %v", text, i, err)
		}
	}
	i := event.Int(7)
	if err := json.Unmarshal([]byte("null"), &i); err != nil || i != 7 {
		t.Errorf("null: %d, %v", i, err)
	}
}

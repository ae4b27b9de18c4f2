package hostedexchange

import (
	"slices"
	"strings"

	"github.com/mailwright/mailwright/services/sandbox/internal/switches"
)

// unwrap takes the procedure call out of its envelope: plain XML with its own procedure (a
// trusted request), or SOAP whose header names the procedure (Schema, soap_envelope).
func (a *API) unwrap(x *execution, body []byte) error {
	root, err := parseXML(body)
	if err != nil {
		return fault(codeBadXML, "The request is not valid XML: "+err.Error()+".")
	}
	if !x.soap {
		return a.trusted(x, root)
	}
	if root.Name != "Envelope" || root.Space != soapSpace {
		return fault(codeBadRequest, "The root element must be a SOAP 1.1 envelope.")
	}
	provisioning := root.child("Header").child("provisioning")
	spaces, procedures := provisioning.all("namespace"), provisioning.all("procedure")
	if len(spaces) != 1 || len(procedures) != 1 {
		return fault(codeBadRequest, "The header must name one namespace and one procedure.")
	}
	content := root.child("Body")
	if content == nil || len(content.Children) != 1 {
		return fault(codeBadRequest, "The SOAP body must hold one element.")
	}
	return a.unwrapBody(x, content.Children[0], trim(spaces[0]), trim(procedures[0]))
}

// unwrapBody reads request data (a simple request), or a trusted request that repeats the header.
func (a *API) unwrapBody(x *execution, content *node, space, procedure string) error {
	allowed := a.world.Switches.Text(switches.HostedSOAPRequest)
	if content.Name == "request" && content.child("procedure") != nil {
		x.namespace, x.procedure = space, procedure
		if allowed == "simple" {
			return fault(codeBadRequest, "A simple request must not hold a procedure.")
		}
		if err := a.trusted(x, content); err != nil {
			return err
		}
		if x.namespace != space || x.procedure != procedure {
			return fault(codeBadRequest, "The header and the request name different procedures.")
		}
		return nil
	}
	x.namespace, x.procedure, x.simple = space, procedure, true
	if allowed == "trusted" {
		return fault(codeBadRequest, "The request must hold a procedure.")
	}
	if content.Name == "request" {
		content = content.child("data")
	}
	if content == nil || content.Name != "data" {
		return fault(codeBadRequest, "The request must hold data.")
	}
	x.data = content
	return nil
}

// trusted reads <request><procedure><execute
// …><executeData/><after/></execute></procedure></request>.
func (a *API) trusted(x *execution, root *node) error {
	if root.Name != "request" || root.Space != "" {
		return fault(codeBadRequest, "The root element must be request.")
	}
	execute := root.child("procedure").child("execute")
	if execute == nil {
		return fault(codeBadRequest, "The request must hold one procedure with one execute.")
	}
	x.namespace, _ = execute.attribute("namespace")
	x.procedure, _ = execute.attribute("procedure")
	impersonate, given := execute.attribute("impersonate")
	if given && !slices.Contains([]string{"0", "1", "2"}, impersonate) {
		return fault(codeBadRequest, "impersonate must be 0, 1 or 2.")
	}
	x.impersonate = impersonate == "1"
	for _, c := range execute.Children {
		if !slices.Contains([]string{"executeData", "before", "after"}, c.Name) {
			return fault(codeBadRequest, "execute has the unknown element "+c.Name+".")
		}
	}
	if len(execute.all("before")) > 0 {
		return fault(codeBadRequest, "The sandbox carries out no before.")
	}
	if x.data = execute.child("executeData"); x.data == nil {
		return fault(codeBadRequest, "execute must hold executeData.")
	}
	return a.readAfter(x, execute)
}

// afterValues are the attributes of after that the sandbox knows, with their values; none: any.
// What happens to a null source does not matter here, as executeData is never null.
var afterValues = map[string][]string{
	"source": nil, "destination": nil, "mode": {"insert", "merge", "replace", "move"}, "ifNull": {"fail", "ignore"}, "allowNullTransform": {"0", "1"},
}

// readAfter checks the transformation (Schema, after): source, destination and mode.
func (a *API) readAfter(x *execution, execute *node) error {
	afters := execute.all("after")
	if len(afters) == 0 {
		return nil
	}
	x.after = afters[0]
	source, _ := x.after.attribute("source")
	destination, _ := x.after.attribute("destination")
	for _, attribute := range x.after.Attributes {
		values, known := afterValues[attribute.Name]
		if !known {
			return fault(codeBadRequest, "The sandbox knows no attribute "+attribute.Name+" of after.")
		}
		if values != nil && !slices.Contains(values, attribute.Value) {
			return fault(codeBadRequest, attribute.Name+" must be one of "+strings.Join(values, ", ")+".")
		}
	}
	switch {
	case len(afters) > 1:
		return fault(codeBadRequest, "The sandbox knows one after only.")
	case source != "executeData" || destination != "data":
		return fault(codeBadRequest, "The sandbox knows after from executeData to data only.")
	}
	return nil
}

// Reads a list of documents and prints, for each, what the Prometheus Operator's schema has against it, or null.
import { readFileSync } from "node:fs";

const documents = JSON.parse(readFileSync(0, "utf8"));
const found = [];
for (const document of documents) {
  const kinds = await import(`@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/${document.kind}`);
  try {
    new kinds[document.kind](document).validate();
    found.push(null);
  } catch (error) {
    found.push(error.message);
  }
}
console.log(JSON.stringify(found));

@_exported public import ProvenanceModel

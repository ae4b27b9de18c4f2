-- +goose Up

CREATE VIEW mailwright_views.dead_letters AS
SELECT sequence,
       tenant,
       domain,
       operation_id,
       reason,
       detail,
       origin_stream,
       origin_sequence,
       origin_subject,
       consumer,
       command_source,
       command_id,
       type,
       correlation_id,
       trace_parent,
       given_up_at,
       size,
       sha256,
       excerpt,
       shape,
       dead_at
  FROM mailwright.dead_letters;

COMMENT ON VIEW mailwright_views.dead_letters IS 'What stands in the stream DEAD: messages that nobody can carry out or answer.';
COMMENT ON COLUMN mailwright_views.dead_letters.sequence IS 'Position in the stream DEAD: what mailwright dead calls it.';
COMMENT ON COLUMN mailwright_views.dead_letters.tenant IS 'Tenant of the subject that the message was published to; '''' where not known.';
COMMENT ON COLUMN mailwright_views.dead_letters.domain IS 'Domain; '''' where not known.';
COMMENT ON COLUMN mailwright_views.dead_letters.operation_id IS 'Operation; '''' where the message could not be read so far.';
COMMENT ON COLUMN mailwright_views.dead_letters.reason IS 'Short code, such as unreadable, idempotency-conflict or max-deliveries; docs/operations.md lists them.';
COMMENT ON COLUMN mailwright_views.dead_letters.detail IS 'One sentence, free of secrets.';
COMMENT ON COLUMN mailwright_views.dead_letters.origin_stream IS 'Stream that the message stood in.';
COMMENT ON COLUMN mailwright_views.dead_letters.origin_sequence IS 'Its position there.';
COMMENT ON COLUMN mailwright_views.dead_letters.origin_subject IS 'Its subject there.';
COMMENT ON COLUMN mailwright_views.dead_letters.consumer IS 'Consumer that gave it up.';
COMMENT ON COLUMN mailwright_views.dead_letters.command_source IS 'CloudEvents source, where it could be read.';
COMMENT ON COLUMN mailwright_views.dead_letters.command_id IS 'CloudEvents id, where it could be read.';
COMMENT ON COLUMN mailwright_views.dead_letters.type IS 'CloudEvents type, where it could be read.';
COMMENT ON COLUMN mailwright_views.dead_letters.correlation_id IS 'The command''s correlationid; '''' where absent.';
COMMENT ON COLUMN mailwright_views.dead_letters.trace_parent IS 'The command''s traceparent (W3C Trace Context); '''' where absent.';
COMMENT ON COLUMN mailwright_views.dead_letters.given_up_at IS 'When it was given up, by the service''s clock.';
COMMENT ON COLUMN mailwright_views.dead_letters.size IS 'Size of its body in bytes.';
COMMENT ON COLUMN mailwright_views.dead_letters.sha256 IS 'SHA-256 of its body, in hexadecimal; '''' where it holds a secret, which a hash would let guess, or does not fit its schema.';
COMMENT ON COLUMN mailwright_views.dead_letters.excerpt IS 'Its data with secrets redacted; NULL where they do not fit their schema, or are large.';
COMMENT ON COLUMN mailwright_views.dead_letters.shape IS 'What can be told of any other body without a value of it: {kind, size, members}, which are the type of the JSON value, bytes, and names.';
COMMENT ON COLUMN mailwright_views.dead_letters.dead_at IS 'When it was stored in DEAD.';

CREATE VIEW mailwright_views.projections AS
SELECT projection,
       stream,
       incarnation,
       sequence,
       updated_at
  FROM mailwright.checkpoints;

COMMENT ON VIEW mailwright_views.projections IS 'How far each projection has come.';
COMMENT ON COLUMN mailwright_views.projections.projection IS 'Name of the projection.';
COMMENT ON COLUMN mailwright_views.projections.stream IS 'Stream that it follows.';
COMMENT ON COLUMN mailwright_views.projections.incarnation IS 'When that stream was created.';
COMMENT ON COLUMN mailwright_views.projections.sequence IS 'Position of the last message that its rows reflect.';
COMMENT ON COLUMN mailwright_views.projections.updated_at IS 'When it last moved, by the database''s clock.';

CREATE VIEW mailwright_views.projection_errors AS
SELECT projection,
       stream,
       sequence,
       subject,
       reason,
       stored_at,
       recorded_at
  FROM mailwright.projection_errors;

COMMENT ON VIEW mailwright_views.projection_errors IS 'Messages that a projection could not apply.';
COMMENT ON COLUMN mailwright_views.projection_errors.projection IS 'Projection that could not apply the message.';
COMMENT ON COLUMN mailwright_views.projection_errors.stream IS 'Stream of the message.';
COMMENT ON COLUMN mailwright_views.projection_errors.sequence IS 'Its position there.';
COMMENT ON COLUMN mailwright_views.projection_errors.subject IS 'Its subject.';
COMMENT ON COLUMN mailwright_views.projection_errors.reason IS 'Why, free of the message''s contents.';
COMMENT ON COLUMN mailwright_views.projection_errors.stored_at IS 'When the message was stored.';
COMMENT ON COLUMN mailwright_views.projection_errors.recorded_at IS 'When this was noted, by the database''s clock.';

-- +goose Down
DROP VIEW mailwright_views.projection_errors;
DROP VIEW mailwright_views.projections;
DROP VIEW mailwright_views.dead_letters;

-- +goose Up

-- The console finds the operations of a person by whom they are about. A subject has up to 1,024
-- characters, which a btree refuses.
CREATE INDEX operations_subject ON mailwright.operations USING hash (lower(subject)) WHERE subject <> '';

-- +goose Down
DROP INDEX mailwright.operations_subject;

-- +goose Up

-- A look-up by name reads the whole list of pending entries, once for each name, so that batches of
-- many new mailboxes took time by the square.
ALTER INDEX mailwright.delegation_mailboxes_names SET (fastupdate = off);

-- projection-svc deletes the rows of a mailbox's delegates itself. The check for each row took as
-- long as its insertion.
ALTER TABLE mailwright.delegations DROP CONSTRAINT delegations_tenant_mailbox_key_fkey;
ALTER TABLE mailwright.delegation_drift DROP CONSTRAINT delegation_drift_tenant_mailbox_key_fkey;

-- +goose Down
ALTER TABLE mailwright.delegation_drift ADD FOREIGN KEY (tenant, mailbox_key) REFERENCES mailwright.delegation_mailboxes ON DELETE CASCADE;
ALTER TABLE mailwright.delegations ADD FOREIGN KEY (tenant, mailbox_key) REFERENCES mailwright.delegation_mailboxes ON DELETE CASCADE;
ALTER INDEX mailwright.delegation_mailboxes_names RESET (fastupdate);

-- +goose Up

CREATE VIEW mailwright_views.delegated_mailboxes AS
SELECT m.tenant,
       m.identity,
       m.object_id,
       m.upn,
       m.primary_smtp_address,
       m.display_name,
       m.recipient_type_details,
       m.selected,
       m.source,
       m.operation_id,
       m.known_at,
       (SELECT count(*) FROM mailwright.delegations d
         WHERE d.tenant = m.tenant AND d.mailbox_key = m.mailbox_key) AS delegates,
       m.mailbox_key
  FROM mailwright.delegation_mailboxes m;

COMMENT ON VIEW mailwright_views.delegated_mailboxes IS 'Mailboxes whose delegates are known, also those that have none.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.identity IS 'Identity of the mailbox: the vendor''s where observed, else as the command named it.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.object_id IS 'Object id in Microsoft Entra ID.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.upn IS 'User principal name.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.primary_smtp_address IS 'Primary address.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.display_name IS 'Display name.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.recipient_type_details IS 'Kind of mailbox, such as UserMailbox.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.selected IS 'Further properties that a delegation.read selected.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.source IS 'observed: read from the vendor; set: as a command left it.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.operation_id IS 'Operation that says so.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.known_at IS 'When that was stored.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.delegates IS 'How many delegates it has.';
COMMENT ON COLUMN mailwright_views.delegated_mailboxes.mailbox_key IS 'Which mailbox, unique in its tenant: its object id where known. Join by this: two mailboxes may share a name.';

CREATE VIEW mailwright_views.delegates AS
SELECT d.tenant,
       d.mailbox,
       m.display_name         AS mailbox_display_name,
       m.primary_smtp_address AS mailbox_address,
       d.delegate,
       d.display_name         AS delegate_display_name,
       d.source,
       d.operation_id,
       d.known_at,
       d.mailbox_key
  FROM mailwright.delegations d
  JOIN mailwright.delegation_mailboxes m USING (tenant, mailbox_key);

COMMENT ON VIEW mailwright_views.delegates IS 'One row a mailbox and delegate: who may send on behalf of whom.';
COMMENT ON COLUMN mailwright_views.delegates.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.delegates.mailbox IS 'Identity of the mailbox.';
COMMENT ON COLUMN mailwright_views.delegates.mailbox_display_name IS 'Display name of the mailbox.';
COMMENT ON COLUMN mailwright_views.delegates.mailbox_address IS 'Primary address of the mailbox.';
COMMENT ON COLUMN mailwright_views.delegates.delegate IS 'The delegate as the vendor or the command names it: usually an address.';
COMMENT ON COLUMN mailwright_views.delegates.delegate_display_name IS 'Display name of the delegate.';
COMMENT ON COLUMN mailwright_views.delegates.source IS 'observed: read from the vendor; set: as a command left it.';
COMMENT ON COLUMN mailwright_views.delegates.operation_id IS 'Operation that says so.';
COMMENT ON COLUMN mailwright_views.delegates.known_at IS 'When that was stored.';
COMMENT ON COLUMN mailwright_views.delegates.mailbox_key IS 'Which mailbox, unique in its tenant: its object id where known. Join by this: two mailboxes may share a name.';

CREATE VIEW mailwright_views.mailboxes_by_delegate AS
SELECT tenant,
       delegate_key  AS delegate,
       count(*)      AS mailboxes,
       max(known_at) AS known_at
  FROM mailwright.delegations
 GROUP BY tenant, delegate_key;

COMMENT ON VIEW mailwright_views.mailboxes_by_delegate IS 'For how many mailboxes each delegate may send.';
COMMENT ON COLUMN mailwright_views.mailboxes_by_delegate.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.mailboxes_by_delegate.delegate IS 'Address of the delegate in lower case.';
COMMENT ON COLUMN mailwright_views.mailboxes_by_delegate.mailboxes IS 'Number of mailboxes.';
COMMENT ON COLUMN mailwright_views.mailboxes_by_delegate.known_at IS 'When the latest of these lists was stored.';

CREATE VIEW mailwright_views.folder_permissions AS
SELECT tenant,
       mailbox,
       folder,
       delegate,
       access_rights,
       sharing_permission_flags,
       operation_id,
       known_at,
       source
  FROM mailwright.folder_permissions
 WHERE access_rights <> '[]';

COMMENT ON VIEW mailwright_views.folder_permissions IS 'One row a folder of a mailbox and user: who has which rights, as the last command left or read them.';
COMMENT ON COLUMN mailwright_views.folder_permissions.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.folder_permissions.mailbox IS 'Mailbox as the command named it.';
COMMENT ON COLUMN mailwright_views.folder_permissions.folder IS 'Path of the folder, such as Calendar.';
COMMENT ON COLUMN mailwright_views.folder_permissions.delegate IS 'Address; the display name where an observation has no address; Default for everybody else; Anonymous.';
COMMENT ON COLUMN mailwright_views.folder_permissions.access_rights IS 'Roles or single rights, such as Editor.';
COMMENT ON COLUMN mailwright_views.folder_permissions.sharing_permission_flags IS 'Delegate, CanViewPrivateItems.';
COMMENT ON COLUMN mailwright_views.folder_permissions.operation_id IS 'Operation that says so.';
COMMENT ON COLUMN mailwright_views.folder_permissions.known_at IS 'When that was stored.';
COMMENT ON COLUMN mailwright_views.folder_permissions.source IS 'observed: read from Exchange Online; set: the result of a grant or revoke.';

CREATE VIEW mailwright_views.delegation_drift AS
SELECT tenant,
       mailbox,
       delegate,
       kind,
       since,
       set_operation_id,
       set_at,
       observed_operation_id,
       observed_at,
       mailbox_key
  FROM mailwright.delegation_drift;

COMMENT ON VIEW mailwright_views.delegation_drift IS 'Delegates that Exchange Online has otherwise than the last command left them. Nothing corrects them by itself.';
COMMENT ON COLUMN mailwright_views.delegation_drift.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.delegation_drift.mailbox IS 'Mailbox by its identity.';
COMMENT ON COLUMN mailwright_views.delegation_drift.delegate IS 'Address of the delegate.';
COMMENT ON COLUMN mailwright_views.delegation_drift.kind IS 'missing: a command left the delegate, and the mailbox does not have it; unexpected: the other way round.';
COMMENT ON COLUMN mailwright_views.delegation_drift.since IS 'When the first observation that showed it was stored; it arose between the one before, or set_at, and then.';
COMMENT ON COLUMN mailwright_views.delegation_drift.set_operation_id IS 'Operation that left the list as it should be.';
COMMENT ON COLUMN mailwright_views.delegation_drift.set_at IS 'When its result was stored.';
COMMENT ON COLUMN mailwright_views.delegation_drift.observed_operation_id IS 'Operation that showed it last.';
COMMENT ON COLUMN mailwright_views.delegation_drift.observed_at IS 'When that was stored.';
COMMENT ON COLUMN mailwright_views.delegation_drift.mailbox_key IS 'Which mailbox, unique in its tenant: its object id where known. Join by this: two mailboxes may share a name.';

-- +goose Down
DROP VIEW mailwright_views.delegation_drift;
DROP VIEW mailwright_views.folder_permissions;
DROP VIEW mailwright_views.mailboxes_by_delegate;
DROP VIEW mailwright_views.delegates;
DROP VIEW mailwright_views.delegated_mailboxes;

-- +goose Up

-- One row a folder of a mailbox and delegate, as the last command left it. A revoked entry stays, without rights, so that an
-- older event can not bring it back.
CREATE TABLE mailwright.folder_permissions (
    tenant                   text        NOT NULL DEFAULT '',
    mailbox_key              text        NOT NULL,
    folder_key               text        NOT NULL,
    delegate_key             text        NOT NULL,
    mailbox                  text        NOT NULL,
    folder                   text        NOT NULL,
    delegate                 text        NOT NULL,
    access_rights            jsonb       NOT NULL DEFAULT '[]',
    sharing_permission_flags jsonb       NOT NULL DEFAULT '[]',
    operation_id             text        NOT NULL,
    known_at                 timestamptz NOT NULL,
    last_sequence            bigint      NOT NULL,
    PRIMARY KEY (tenant, mailbox_key, folder_key, delegate_key)
);

CREATE INDEX folder_permissions_delegate ON mailwright.folder_permissions (delegate_key);

CREATE VIEW mailwright_views.folder_permissions AS
SELECT tenant,
       mailbox,
       folder,
       delegate,
       access_rights,
       sharing_permission_flags,
       operation_id,
       known_at
  FROM mailwright.folder_permissions
 WHERE access_rights <> '[]';

COMMENT ON VIEW mailwright_views.folder_permissions IS 'One row a folder of a mailbox and delegate: who was given which rights, as far as commands did.';
COMMENT ON COLUMN mailwright_views.folder_permissions.tenant IS 'Configured tenant.';
COMMENT ON COLUMN mailwright_views.folder_permissions.mailbox IS 'Mailbox as the command named it.';
COMMENT ON COLUMN mailwright_views.folder_permissions.folder IS 'Path of the folder, such as Calendar.';
COMMENT ON COLUMN mailwright_views.folder_permissions.delegate IS 'Address of the delegate.';
COMMENT ON COLUMN mailwright_views.folder_permissions.access_rights IS 'Roles or single rights, such as Editor.';
COMMENT ON COLUMN mailwright_views.folder_permissions.sharing_permission_flags IS 'Delegate, CanViewPrivateItems.';
COMMENT ON COLUMN mailwright_views.folder_permissions.operation_id IS 'Operation that says so.';
COMMENT ON COLUMN mailwright_views.folder_permissions.known_at IS 'When that was stored.';

-- +goose Down
DROP VIEW mailwright_views.folder_permissions;
DROP TABLE mailwright.folder_permissions;

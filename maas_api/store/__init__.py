"""Where keys live: connections, tables, announcements of changes. The ground of what keeps anything."""

/**
 * Left out of every upload unless asked for: what an operating system, an editor or a cache strews about and
 * no program reads back. In gitignore syntax. Not `node_modules`, `dist` or the like: tests may need them,
 * and where a project thinks otherwise its .gitignore says so.
 */
export const DEFAULT_IGNORE: readonly string[] = [
  '.DS_Store',
  '._*',
  '.Spotlight-V100/',
  '.Trashes/',
  'Thumbs.db',
  'ehthumbs.db',
  'desktop.ini',
  '.Trash-*/',
  '.nfs*',
  '.fuse_hidden*',
  '*.swp',
  '*~',
  '__pycache__/',
  '*.py[cod]',
  '.pytest_cache/',
  '.mypy_cache/',
  '.ruff_cache/',
  '.croft/',
]

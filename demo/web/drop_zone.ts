/** A place where files are dropped or chosen, with a folder's all below it. */
import {element} from './dom';
import {messageOf} from './errors';
import {bytesText, countText, nameText} from './words';

export interface DropZoneOptions {
  /** What belongs here. */
  text: string;
  /** Whether a whole folder may be chosen, too. */
  takesFolder: boolean;
  /** Called with the files that one has given, or with none when they were removed. */
  onFiles: (files: Record<string, File>) => void;
}

export class DropZone {
  readonly element: HTMLElement;
  private readonly note = element('p', {className: 'note'});
  private readonly remove = element('button', {
    type: 'button',
    textContent: 'Remove',
    hidden: true,
  });

  constructor(private readonly options: DropZoneOptions) {
    const chooseFiles = this.chooser('Choose files', false);
    const [choose] = chooseFiles;
    const buttons = element('div', {className: 'buttons'}, ...chooseFiles);
    if (options.takesFolder) buttons.append(...this.chooser('Choose a folder', true));
    this.remove.addEventListener('click', () => {
      choose.focus(); // the button goes away
      this.show({});
      options.onFiles({});
    });
    this.element = element(
      'div',
      {className: 'drop'},
      element('p', {textContent: options.text}),
      buttons,
      element('div', {className: 'chosen'}, this.note, this.remove),
    );
    this.listen();
  }

  /** Says which files there are. */
  show(files: Record<string, File>): void {
    const all = Object.entries(files);
    const bytes = all.reduce((sum, [, {size}]) => sum + size, 0);
    const [first] = all[0] ?? [];
    this.remove.hidden = first === undefined;
    if (first === undefined) {
      this.note.textContent = '';
      return;
    }
    const names =
      all.length === 1 ? nameText(first) : `${countText(all.length)} files, ${nameText(first)} …`;
    this.note.textContent = `${names}, ${bytesText(bytes)}`;
    this.remove.setAttribute('aria-label', `Remove ${names}`);
  }

  private chooser(
    label: string,
    isFolder: boolean,
  ): [button: HTMLButtonElement, input: HTMLInputElement] {
    const input = element('input', {type: 'file', multiple: true, hidden: true});
    input.setAttribute('aria-label', label);
    if (isFolder) input.webkitdirectory = true;
    input.addEventListener('change', () => {
      const files = [...(input.files ?? [])].map((file): [string, File] => [
        file.webkitRelativePath || file.name,
        file,
      ]);
      input.value = '';
      this.take(files);
    });
    const button = element('button', {type: 'button', textContent: label});
    button.addEventListener('click', () => input.click());
    return [button, input];
  }

  private listen(): void {
    const target = this.element;
    const over = (isOver: boolean) => (event: DragEvent) => {
      if (this.isLocked) return;
      event.preventDefault();
      target.classList.toggle('over', isOver);
    };
    target.addEventListener('dragover', over(true));
    target.addEventListener('dragleave', over(false));
    target.addEventListener('drop', (event) => {
      over(false)(event);
      if (this.isLocked) return;
      // The entries are gone after the event.
      const entries = [...(event.dataTransfer?.items ?? [])]
        .map((item) => item.webkitGetAsEntry())
        .filter((entry) => entry !== null);
      const plain = [...(event.dataTransfer?.files ?? [])];
      void (entries.length > 0 ? filesBelow(entries) : Promise.resolve(plain.map(named))).then(
        (files) => this.take(files),
        (error: unknown) => {
          this.note.textContent = `This cannot be read. ${messageOf(error)}`;
        },
      );
    });
  }

  /** Whether a run is under way, whose settings stay. */
  private get isLocked(): boolean {
    return this.element.closest('fieldset:disabled') !== null;
  }

  /** Takes files whose paths begin with the folder that was given by what is below it. */
  private take(files: [string, File][]): void {
    if (files.length === 0) return;
    const isVisible = (path: string) => !path.split('/').some((part) => part.startsWith('.'));
    // of several, since nobody means all that is hidden in a folder
    const visible = files.length === 1 ? files : files.filter(([path]) => isVisible(path));
    const folder = /^[^/]+[/]/.exec(visible[0]?.[0] ?? '')?.[0];
    const isOne = folder !== undefined && visible.every(([path]) => path.startsWith(folder));
    const below = visible.map(([path, file]): [string, File] => [
      isOne ? path.slice(folder.length) : path,
      file,
    ]);
    const found = Object.fromEntries(below);
    this.show(found);
    this.options.onFiles(found);
  }
}

/** Has what is dropped beside the places for it change nothing: a browser would open it in the place of the page, and of its run. */
export function refuseStrayDrops(): void {
  const refuse = (event: DragEvent) => {
    const isText = !event.dataTransfer?.types.includes('Files');
    const target = event.target as Element | null;
    if (event.defaultPrevented || (isText && target?.matches('input, textarea'))) return;
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = 'none';
  };
  for (const type of ['dragover', 'drop'] as const) addEventListener(type, refuse);
}

function named(file: File): [string, File] {
  return [file.name, file];
}

async function filesBelow(entries: readonly FileSystemEntry[]): Promise<[string, File][]> {
  const lists = await Promise.all(
    entries.map(async (entry): Promise<[string, File][]> => {
      if (entry.isFile) {
        const file = await new Promise<File>((resolve, reject) =>
          (entry as FileSystemFileEntry).file(resolve, reject),
        );
        return [[entry.fullPath.replace(/^[/]/, ''), file]];
      }
      return filesBelow(await entriesOf(entry as FileSystemDirectoryEntry));
    }),
  );
  return lists.flat();
}

/** All entries of a folder, which come some at a time. */
async function entriesOf(folder: FileSystemDirectoryEntry): Promise<FileSystemEntry[]> {
  const reader = folder.createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) return all;
    all.push(...some);
  }
}

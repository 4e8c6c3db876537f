/** A field for examples that are pasted. One that is too long for it, which a browser would lay out for minutes, is kept as a file is. */
import {element} from './dom';
import {bytesText} from './words';

/** The most letters in the field: chromium takes about a second for twice as many. */
const MOST_LETTERS = 500_000;

export class PastePanel {
  readonly element: HTMLElement;
  private readonly field: HTMLTextAreaElement;
  private readonly size = element('span');
  private readonly kept: HTMLElement;

  /** @param onText Called with what is there, whenever that is something else. */
  constructor(private readonly onText: (text: string | Blob) => void) {
    this.field = element('textarea', {
      id: 'pasted',
      rows: 5,
      spellcheck: false,
      placeholder: '{"prompt": "What is a whale?", "answer": "A spouting fish."}\n…',
    });
    this.field.setAttribute('aria-label', 'Examples');
    const remove = element('button', {type: 'button', textContent: 'Remove'});
    this.kept = element(
      'div',
      {className: 'drop', id: 'pasted-kept', hidden: true},
      this.size,
      element('p', {className: 'note', textContent: 'Too long to be shown and changed here.'}),
      element('div', {className: 'buttons'}, remove),
    );
    this.element = element('div', {className: 'panel'}, this.field, this.kept);
    this.field.addEventListener('input', () => this.onText(this.field.value));
    this.field.addEventListener('paste', (event) => {
      const {selectionStart, selectionEnd} = this.field;
      this.take(event, event.clipboardData, selectionStart, selectionEnd);
    });
    // which has no place in the field before the browser has put it there
    this.field.addEventListener('drop', (event) => {
      const {length} = this.field.value;
      this.take(event, event.dataTransfer, length, length);
    });
    remove.addEventListener('click', () => {
      this.show(null);
      this.field.focus();
    });
  }

  /** Keeps a text that would come into the place of some letters of the field, if that is too long then. */
  private take(event: Event, data: DataTransfer | null, from: number, to: number): void {
    const text = data?.getData('text/plain') ?? '';
    const {value} = this.field;
    if (value.length - (to - from) + text.length <= MOST_LETTERS) return;
    event.preventDefault();
    this.show(new Blob([value.slice(0, from), text, value.slice(to)]));
    this.kept.querySelector('button')!.focus();
  }

  /** Shows the field, empty, or what is kept in its place. */
  private show(kept: Blob | null): void {
    this.field.value = '';
    this.field.hidden = kept !== null;
    this.kept.hidden = kept === null;
    this.size.textContent = kept === null ? '' : `Pasted text, ${bytesText(kept.size)}`;
    this.onText(kept ?? '');
  }
}

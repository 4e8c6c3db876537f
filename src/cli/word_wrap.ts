/** Breaks the lines of a text that comes in pieces, where a terminal would break them within words. */
import stringWidth from 'string-width';

const TAB = 8;

/** A text in lines that end between words. A word is held back until its end is known. */
export class WordWrap {
  /** Cells of the line that are filled. */
  private column = 0;
  /** Blanks that have not been written: at the end of a line they are left out. */
  private blanks = '';
  private word = '';

  /** @param columns How many cells a line has. */
  constructor(private readonly columns: () => number) {}

  /** Takes a piece of the text; returns what can be written. */
  push(text: string): string {
    let written = '';
    for (const char of text) {
      if (char === '\n') {
        written += `${this.flush()}\n`;
        this.column = 0;
        this.blanks = '';
      } else if (char === ' ' || char === '\t') {
        written += this.flush();
        this.blanks += char === '\t' ? ' '.repeat(TAB) : char;
      } else {
        this.word += char;
        // a line may break after any wide character, and must within a word that is too long
        const isWide = stringWidth(char) > 1;
        if (isWide || stringWidth(this.word) >= this.width) written += this.flush();
      }
    }
    return written;
  }

  /** The word that was held back. */
  flush(): string {
    const {word, blanks} = this;
    if (word === '') return '';
    const width = stringWidth(word);
    [this.word, this.blanks] = ['', ''];
    const fits = this.column + blanks.length + width <= this.width;
    if (fits || this.column === 0) {
      this.column = (this.column + blanks.length + width) % (this.width + 1);
      return blanks + word;
    }
    this.column = width;
    return `\n${word}`;
  }

  /** A terminal that has filled the last cell may be in the next line already. */
  private get width(): number {
    return Math.max(1, this.columns() - 1);
  }
}

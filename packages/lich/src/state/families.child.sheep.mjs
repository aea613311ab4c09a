// A class that moved here from families.child.mjs, and is found again by its name.
import { extend, i32, int, struct, text } from '@lich/schema';

class Animal extends struct({ hp: i32.init(10), name: text(8) }) {}
export class Sheep extends extend(Animal, { wool: int, owner: text() }) {
  get naked() {
    return this.wool === 0;
  }
}

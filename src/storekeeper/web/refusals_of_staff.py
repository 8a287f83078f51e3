"""What the services refuse staff, as pages say it in every language; see `web.refusals`."""

from __future__ import annotations

from storekeeper.web.languages import mark

# What a detail says, and how a page says it.
STAFF = (
    (
        r"another product has the SKU (?P<sku>.+)",
        mark("Another product has the SKU %(sku)s."),
    ),
    (
        r"the parent has a variant with these options already",
        mark("The parent has a variant with these options already."),
    ),
    (
        r"there is no product with the SKU (?P<sku>.+)",
        mark("There is no product with the SKU %(sku)s."),
    ),
    (r"there is no product (?P<sku>.+)", mark("There is no product %(sku)s.")),
    (
        r"(?P<sku>.+) isn't a parent of variants",
        mark("%(sku)s isn't a product with variants."),
    ),
    (
        r"there are still units of (?P<sku>.+); count its stock to zero first",
        mark("There are still units of %(sku)s. Count its stock to zero first."),
    ),
    (
        r"a price is between 0 and \d+ minor units",
        mark("A price can't be less than nothing, or more than a shop can charge."),
    ),
    (r"a tag stands there twice", mark("A tag stands there twice.")),
    (
        r"a parent can't be a variant of another product",
        mark("A product with variants can't be a variant of another one."),
    ),
    (
        r"a parent has no stock of its own; set this on its variants",
        mark("A product with variants has no stock of its own. Set this on its variants."),
    ),
    (
        r"a variant needs its option values, such as .*",
        mark("A variant needs what tells it from the others, such as “size: L”."),
    ),
    (
        r"a product without stock has no backorder",
        mark("What has no stock can't be ordered before it comes."),
    ),
    (
        r"a product can't become a parent, or cease to be one",
        mark("Whether a product has variants can't be changed."),
    ),
    (
        r"more units are promised than there are; receive stock before backorder ends",
        mark("More units are promised than there are. Receive stock before you switch this off."),
    ),
    (
        r"(?P<text>.+) is not an amount such as 19\.99",
        mark("Please type an amount such as 19.99."),
    ),
    (
        r"(?P<text>.+) is not an amount that a shop can charge",
        mark("This is more than a shop can charge."),
    ),
    (
        r"(?P<text>.+) has more decimals than (?P<currency>\w+) has",
        mark("An amount in %(currency)s doesn't have so many decimals."),
    ),
    (
        r"this isn't a picture that can be read; send a JPEG, PNG, WebP or GIF",
        mark("This isn't a picture that can be read. Choose a JPEG, PNG, WebP or GIF."),
    ),
    (
        r"the picture has more than (?P<count>\d+) million pixels; make it smaller",
        mark("The picture has more than %(count)s million pixels. Make it smaller."),
    ),
    (
        r"there are (?P<count>-?\d+) units on hand now, and no longer .*",
        mark("There are %(count)s units on hand now. Look whether your count still holds."),
    ),
    (r"the units are there already", mark("The units are there already.")),
    (r"there is no location (?P<location>.+)", mark("There is no location %(location)s.")),
    (
        r"(?P<location>.+) takes no stock any more",
        mark("%(location)s takes no stock any more."),
    ),
    (
        r"a shop has at most (?P<count>\d+) locations",
        mark("A shop has at most %(count)s locations."),
    ),
    (r"the last location can't be closed", mark("The last location can't be closed.")),
    (r"nothing was counted yet", mark("Nothing was counted yet.")),
    (
        r"nothing is kept there, so there is nothing to count",
        mark("Nothing is kept there, so there is nothing to count."),
    ),
    (
        r"(?P<count>\d+) stock takes are open; end one of them first",
        mark("%(count)s stock takes are open. End one of them first."),
    ),
    (
        r"a stock take holds (?P<count>\d+) products; count one category at a time",
        mark("A stock take holds %(count)s products. Count one category at a time."),
    ),
    (
        r"several products have the code (?P<code>.+); type the SKU",
        mark("Several products have the code %(code)s. Type the SKU."),
    ),
    (
        r"a movement of no units changes nothing",
        mark("A movement of no units changes nothing."),
    ),
    (
        r"at most (?P<count>\d+) units can be counted",
        mark("At most %(count)s units can be counted."),
    ),
)
